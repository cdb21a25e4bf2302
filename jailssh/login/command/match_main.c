/* jailssh-match [-0] PLAN [COMMAND]: run the login program's matcher on a plan, without power and without the jail
 * (paths are judged by their text); PLAN "-" is standard input.  Prints what would run; exit 0 allowed, 3 denied, 2
 * usage, 1 trouble.  -0 is for programs: every field ends with a NUL, and there are more of them. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "match.h"
#include "request.h"

static void field(const char *text)
{
    fputs(text ? text : "", stdout);
    putchar('\0');
}

/* allow, rule, plugin, program, first path, argv… or deny, reason, rule, plugin, detail, the words of the command….
 * Where a rule allows and has the answer itself, nothing is executed: the program is empty, and there is no argv. */
static void print_fields(const struct verdict *verdict, const char *command)
{
    static struct words words;
    static char buffer[4 * REQUEST_MAX];
    field(verdict->allowed ? "allow" : "deny");
    if (!verdict->allowed)
        field(reason_code(verdict->reason));
    field(verdict->rule);
    field(verdict->plugin);
    if (verdict->allowed) {
        field(verdict->answered ? "" : verdict->program);
        field(verdict->path);
        for (size_t i = 0; i < verdict->argc; i++)
            field(verdict->argv[i]);
        return;
    }
    field(verdict->detail);
    if (command && !request_split(command, &words, buffer))
        for (size_t i = 0; i < words.count; i++)
            field(words.list[i].text);
}

int main(int argc, char **argv)
{
    static struct plan plan;
    static struct verdict verdict;
    bool fields = argc > 1 && strcmp(argv[1], "-0") == 0;
    argv += fields;
    argc -= fields;
    if (argc < 2 || argc > 3) {
        fputs("usage: jailssh-match [-0] PLAN [COMMAND]\n", stderr);
        return 2;
    }
    char *data = malloc(PLAN_MAX_SIZE + 1);
    int fd = strcmp(argv[1], "-") == 0 ? 0 : open(argv[1], O_RDONLY | O_CLOEXEC);
    size_t size = 0;
    ssize_t n = -1;
    while (data && fd >= 0 && (n = read(fd, data + size, PLAN_MAX_SIZE + 1 - size)) > 0)
        size += (size_t)n;
    const char *why = n == 0 ? plan_parse(data, size, &plan) : "cannot be read";
    if (why) {
        fprintf(stderr, "jailssh-match: %s: %s\n", argv[1], why);
        return 1;
    }
    const char *command = argc == 3 ? argv[2] : NULL;
    match_request(&plan, command, false, &verdict);
    if (fields) {
        print_fields(&verdict, command);
        return verdict.allowed ? 0 : 3;
    }
    if (!verdict.allowed) {
        printf("deny\t%s\t%s\t%s\n", reason_code(verdict.reason), verdict.rule, verdict.detail);
        return 3;
    }
    printf("allow\t%s\t%s\n", verdict.rule, verdict.answered ? "" : verdict.program);
    for (size_t i = 0; i < verdict.argc; i++)
        printf("%s\n", verdict.argv[i]);
    return 0;
}
