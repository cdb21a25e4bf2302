/* jailssh-refs: a byte that chooses the repository, two pieces of the plan's lines, each with a zero behind it, and
 * what git sends.  Its answer is that of a model here, and there is none where something is wrong. */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdnoreturn.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECES = 4096 };

static jmp_buf ended;
static FILE *wire, *answers, *quiet;
static char *sent;
static size_t sent_size;
static void *taken[PIECES];
static const char *repository, *lines[2];

static void *keep(void *old, void *new)
{
    size_t i = 0;
    while (i < PIECES && taken[i] != old)
        i++;
    HOLDS(new &&i < PIECES);
    taken[i] = new;
    return new;
}

static void *kept_realloc(void *old, size_t size)
{
    return keep(old, realloc(old, size));
}

static const char *from_plan(const char *name)
{
    if (strcmp(name, "JAILSSH_REPOSITORY") == 0)
        return repository;
    return strcmp(name, "JAILSSH_REFS_0") == 0 ? lines[0] : strcmp(name, "JAILSSH_REFS_1") == 0 ? lines[1] : NULL;
}

static noreturn void leave(int status)
{
    longjmp(ended, status + 1);
}

/* The program itself, of which what it takes from outside is ours. */
static int refs_main(int argc, char **argv);
#define main refs_main
#define judge refs_judge
#define exit leave
#define getenv from_plan
#define strdup(text) keep(NULL, (strdup)(text))
#define calloc(count, size) keep(NULL, (calloc)(count, size))
#define realloc kept_realloc
#undef stdin
#undef stdout
#undef stderr
#define stdin wire
#define stdout answers
#define stderr quiet
#define printf(...) fprintf(answers, __VA_ARGS__)
#include "../../jailssh/refs/line.c"
#include "../../jailssh/refs/main.c"
#include "../../jailssh/refs/name.c"
#include "../../jailssh/refs/repository.c"
#include "../../jailssh/refs/rights.c"

/* What follows a push is not judged here: tests/sshd/test_after_push.py. */
int after_push(void)
{
    return EXIT_FAILURE;
}

#undef main
#undef judge
#undef exit
#undef getenv
#undef strdup
#undef calloc
#undef realloc
#undef printf
#undef stderr

bool git_leads(const char *old, const char *new)
{
    return old[0] == new[0];
}

/* Repositories, and by how many names lines give something there: the shorter one of the third is another's. */
static const struct {
    const char *path;
    int names, giving;
} repositories[] = {
    { "/r/x.git", 2, 2 }, { "/r/team/y.git", 2, 2 }, { "/dev/null.git", 2, 1 },
    { "/r/z", 1, 1 },     { "r/x.git", 0, 0 },       { "/r/.git", 1, 1 },
};

/* By what the pattern so far can have taken of the text. */
static bool part_fits(const char *pattern, size_t left, const char *text, size_t n)
{
    static bool reached[NAME_MOST + 1];
    HOLDS(n <= NAME_MOST);
    for (size_t i = 0; i <= n; i++)
        reached[i] = i == 0;
    for (const char *at = pattern; at < pattern + left; at++) {
        for (size_t i = 0; *at == '*' && i < n; i++)
            reached[i + 1] = reached[i + 1] || reached[i];
        for (size_t i = n; *at != '*' && i > 0; i--)
            reached[i] = reached[i - 1] && text[i - 1] == *at;
        reached[0] = reached[0] && *at == '*';
    }
    return reached[n];
}

static bool fits(const char *pattern, const char *text)
{
    for (;; pattern++, text++) {
        if (strcmp(pattern, "**") == 0)
            return *text && *text != '.' && !strstr(text, "/.");
        size_t left = strcspn(pattern, "/"), n = strcspn(text, "/");
        if ((*pattern == '*' && *text == '.') || !part_fits(pattern, left, text, n))
            return false;
        pattern += left;
        text += n;
        if (!*pattern || !*text)
            return *pattern == *text;
    }
}

static bool names_it(const char *pattern, int number, int names)
{
    char name[64];
    const char *path = repositories[number].path;
    for (int i = 0; *pattern == '/' && i < names; i++) {
        snprintf(name, sizeof name, "%.*s", (int)strlen(path) - 4 * i, path);
        if (fits(pattern + 1, name + 1))
            return true;
    }
    return false;
}

enum { SAYS_NOTHING, GIVES, DENIES, IS_RULED, IS_BAD };

/* What one line says about ACT on a reference. */
static int line_says(char *line, int number, const char *act, const char *ref)
{
    char *word = strsep(&line, " "), *pattern = strsep(&line, " ");
    bool ruled = strcmp(word, "ruled") == 0, denies = strcmp(word, "deny") == 0;
    if (!pattern || (!ruled && !line))
        return IS_BAD;
    if (!names_it(pattern, number, repositories[number].names))
        return SAYS_NOTHING;
    if (ruled || !names_it(pattern, number, denies ? repositories[number].names : repositories[number].giving))
        return IS_RULED;
    if (!denies && strcmp(word, "push") != 0 && strcmp(word, "rewind") != 0 && strcmp(word, "create") != 0 &&
        strcmp(word, "delete") != 0)
        return IS_BAD;
    bool about = denies || strcmp(word, act) == 0 || (strcmp(word, "rewind") == 0 && strcmp(act, "push") == 0);
    return about && fits(line, ref) ? (denies ? DENIES : GIVES) : IS_RULED;
}

/* What all lines say: GIVES also where they say nothing of the repository. */
static int said(int number, const char *act, const char *ref)
{
    int found = SAYS_NOTHING;
    if (repositories[number].names == 0 || !lines[0])
        return IS_BAD;
    for (int i = 0; i < 2 && lines[i]; i++) {
        char *copy = strdup(lines[i]), *rest = *copy ? copy : NULL;
        for (char *line; (line = strsep(&rest, "\n"));) {
            int says = line_says(line, number, act, ref);
            if (says == IS_BAD || found == SAYS_NOTHING || (found == IS_RULED && says != SAYS_NOTHING))
                found = found == IS_BAD ? IS_BAD : says;
        }
        free(copy);
    }
    return found == SAYS_NOTHING ? GIVES : found;
}

static const char *stands_for(const char *ref)
{
    static const char *const links[][2] = {
        { "refs/heads/alias", "refs/heads/main" },
        { "refs/heads/away", "refs/x/y" },
        { "refs/heads/loop", "refs/heads/loop" },
        { "refs/heads/odd", "" },
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        if (strcmp(ref, links[i][0]) == 0)
            return links[i][1];
    return NULL;
}

static bool may(int number, const char *act, bool leads, const char *ref)
{
    for (int i = 0; i < 6 && ref && *ref; i++, ref = stands_for(ref)) {
        bool moves = strcmp(act, "push") == 0;
        bool given = moves && said(number, "rewind", ref) == GIVES;
        given = given || (said(number, act, ref) == GIVES && (!moves || (leads && !strstr(ref, "refs/tags/"))));
        if (!given)
            return false;
        /* No file can have it, which shows where its directory is there. */
        size_t room = strncmp(ref, "refs/heads/", 11) == 0 ? 11 : 5;
        if (strcspn(ref + room, "/") > 255)
            return false;
    }
    return !ref;
}

static void check_command(int number, const struct command *command)
{
    bool none = strspn(command->old, "0") == strlen(command->old);
    bool gone = strspn(command->new, "0") == strlen(command->new);
    bool mine = may(number,
                    gone   ? "delete"
                    : none ? "create"
                           : "push",
                    command->old[0] == command->new[0], command->ref);
    bool atomic = command->refused && strncmp(command->refused, "another", 7) == 0;
    HOLDS(!command->silent && (!command->refused || !mine || (atomic && push.atomic)) && (mine || command->refused));
    for (const char *at = command->ref; *at; at++)
        HOLDS((unsigned char)*at > ' ' && *at != 0x7f);
    HOLDS(strncmp(command->ref, "refs/", 5) == 0 && !strstr(command->ref, "/.") && !strstr(command->ref, "//"));
}

/* The next packet of the answer, which is TEXT. */
static char *next(char *at, const char *text)
{
    char head[5];
    snprintf(head, sizeof head, "%04zx", strlen(text) + 4);
    HOLDS(strncmp(at, head, 4) == 0 && strncmp(at + 4, text, strlen(text)) == 0);
    return at + 4 + strlen(text);
}

static void check_answer(int number)
{
    static char text[2 * LINE_MOST];
    char *at = next(sent, "version=1") + 4;
    bool refused = false, given = false;
    for (size_t i = 0; i < push.count; i++) {
        const struct command *command = &push.list[i];
        refused = refused || command->silent || command->refused;
        if (command->silent)
            continue;
        check_command(number, command);
        given = given || !command->refused;
        snprintf(text, sizeof text, command->refused ? "ng %s %s" : "ok %s", command->ref, command->refused);
        at = next(at, text);
        if (!command->refused)
            at = next(at, "option fall-through");
    }
    HOLDS(strcmp(at, "0000") == 0);
    HOLDS(!push.atomic || !refused || !given);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    enum { REPOSITORIES = sizeof repositories / sizeof *repositories };
    if (!quiet) {
        quiet = fopen("/dev/null", "w");
        HOLDS(quiet && chdir(REPOSITORY) == 0);
    }
    int number = size ? data[0] % REPOSITORIES : 0;
    char *text = string_of(data + (size > 0), size - (size > 0)), *end = text + size - (size > 0), *at = text;
    repository = repositories[number].path;
    for (int i = 0; i < 2; i++) {
        lines[i] = *at || at < end ? at : NULL;
        at += at < end ? strlen(at) : 0;
        at += at < end;
    }
    wire = at < end ? fmemopen(at, (size_t)(end - at), "r") : fopen("/dev/null", "r");
    answers = open_memstream(&sent, &sent_size);
    HOLDS(wire && answers);
    memset(&push, 0, sizeof push);
    int way = setjmp(ended);
    int status = way == 0 ? refs_main(0, NULL) : way - 1;
    fclose(answers);
    fclose(wire);
    HOLDS(status == EXIT_SUCCESS || status == EXIT_FAILURE);
    HOLDS(status == EXIT_FAILURE || said(number, "push", "refs/x") != IS_BAD);
    if (status == EXIT_SUCCESS)
        check_answer(number);
    else
        HOLDS(sent_size <= 17); /* "version=1" and the end of a list */
    for (size_t i = 0; i < PIECES && taken[i]; i++) {
        free(taken[i]);
        taken[i] = NULL;
    }
    free(sent);
    free(text);
    return 0;
}
