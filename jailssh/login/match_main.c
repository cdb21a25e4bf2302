/* jailssh-match PLAN COMMAND | jailssh-match PLAN: run the login program's matcher on a plan, without power and without
 * the jail (paths are judged by their text).  Prints what would run; exit 0 allowed, 3 denied, 2 usage, 1 trouble. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "match.h"

int main(int argc, char **argv)
{
    static struct plan plan;
    static struct verdict verdict;
    if (argc < 2 || argc > 3) {
        fputs("usage: jailssh-match PLAN [COMMAND]\n", stderr);
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
    match_request(&plan, argc == 3 ? argv[2] : NULL, false, &verdict);
    if (!verdict.allowed) {
        printf("deny\t%s\t%s\t%s\n", verdict.reason, verdict.rule, verdict.detail);
        return 3;
    }
    printf("allow\t%s\t%s\n", verdict.rule, verdict.program);
    for (size_t i = 0; i < verdict.argc; i++)
        printf("%s\n", verdict.argv[i]);
    return 0;
}
