#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../login/command/like.h"
#include "after.h"
#include "command.h"
#include "repository.h"
#include "tell.h"

enum { WORDS_MOST = 64 };

static const char refs[] = "refs/", hook[] = "webhook:"; /* PREFIX in core/webhook.py */

/* Lines as git says them, "OLD NEW REFERENCE", each with its newline; REF is in the line. */
static struct {
    struct update {
        const char *line, *ref;
        size_t length;
    } * list;
    size_t count;
} push;

static bool add(char *line, size_t length)
{
    enum { FIRST = 64 };
    const char *space = strchr(line, ' '), *ref = space ? strchr(space + 1, ' ') : NULL;
    if (!ref || strncmp(ref + 1, refs, sizeof refs - 1) != 0 || line[length - 1] != '\n')
        return true; /* git says no such thing */
    if (push.count == 0 || (push.count >= FIRST && (push.count & (push.count - 1)) == 0)) {
        void *more = realloc(push.list, (push.count ? 2 * push.count : FIRST) * sizeof *push.list);
        if (!more)
            return false;
        push.list = more;
    }
    push.list[push.count++] = (struct update){ line, ref + 1, length };
    return true;
}

static bool read_push(void)
{
    for (;;) {
        char *line = NULL;
        size_t room = 0;
        ssize_t n = getline(&line, &room, stdin);
        if (n <= 0)
            return feof(stdin);
        if (!add(line, (size_t)n))
            return false;
    }
}

/* Put the updates of references that fit into a file for the command, and how many there are into *COUNT.  False if not
 * all of them are in it. */
static bool choose(const char *pattern, int fd, size_t *count)
{
    FILE *file = fdopen(dup(fd), "w");
    bool whole = file;
    for (size_t i = 0; whole && i < push.count; i++) {
        const struct update *each = &push.list[i];
        size_t skipped = sizeof refs - 1, n = each->length - 1 - (size_t)(each->ref - each->line) - skipped;
        if (!like_fits(pattern + skipped, each->ref + skipped, n))
            continue;
        whole = fwrite(each->line, 1, each->length, file) == each->length;
        ++*count;
    }
    return file && fclose(file) == 0 && whole && lseek(fd, 0, SEEK_SET) == 0;
}

static void tell(const char *repository, const char *command, size_t count, const struct ending *ending)
{
    char how[64], said[160];
    bool good = ending->in_time && ending->status == 0;
    if (!ending->in_time)
        snprintf(how, sizeof how, ending->took > 0 ? "was ended, its time was over" : "was not run, the time was over");
    else if (WIFSIGNALED(ending->status))
        snprintf(how, sizeof how, "was ended by signal %d", WTERMSIG(ending->status));
    else
        snprintf(how, sizeof how, "ended with status %d", WEXITSTATUS(ending->status));
    tell_journal(&(struct told){ repository, command, how, good, count, ending->took, ending->status });
    int n = snprintf(said, sizeof said, "jailssh: the push is done; what runs after it %s\n", how);
    if (!good)
        command_say(said, (size_t)n);
}

/* Run what the rest of a line names, for the references that its pattern means. */
static void run(const char *repository, const char *pattern, char *rest, long long end)
{
    static const char untold[] = "jailssh: the push is done; what runs after it is not run: no memory or descriptor\n";
    char *words[WORDS_MOST + 1], *named = strdup(rest);
    size_t n = 0;
    for (char *word; n < WORDS_MOST && (word = strsep(&rest, " "));)
        words[n++] = word;
    words[n] = NULL;
    int fd = memfd_create("push", MFD_CLOEXEC);
    size_t count = 0;
    if (fd < 0 || !named || !choose(pattern, fd, &count)) {
        command_say(untold, sizeof untold - 1);
    } else if (count > 0 && strncmp(named, hook, sizeof hook - 1) == 0) {
        tell_push(repository, named + sizeof hook - 1, count, fd);
    } else if (count > 0) {
        struct ending ending = { 127 << 8, false, 0 };
        if (command_clock() < end)
            ending = command_run(words, fd, end);
        tell(repository, named, count, &ending);
    }
    free(named);
    close(fd);
}

int after_push(void)
{
    static struct repository repository;
    const char *path = getenv("JAILSSH_REPOSITORY"), *given = getenv("JAILSSH_AFTER"),
               *seconds = getenv("JAILSSH_AFTER_SECONDS");
    char *lines = given ? strdup(given) : NULL;
    if (!path || !lines || !seconds || !repository_is_named(&repository, path) || !read_push()) {
        fputs("jailssh: the push is done; what is to run after it cannot be found out\n", stderr);
        return EXIT_FAILURE;
    }
    long long end = command_clock() + 1000 * strtoll(seconds, NULL, 10);
    for (char *line; (line = strsep(&lines, "\n"));) {
        char *pattern = strsep(&line, " "), *ref = strsep(&line, " ");
        if (line && repository_is_meant(&repository, repository.named, pattern))
            run(path, ref, line, end);
    }
    return EXIT_SUCCESS;
}
