#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "git.h"

enum {
    ID_MOST = 64, /* SHA-256 */
    STEPS = 32,   /* that are gone here, where each costs little; git walks long ways better */
    QUEUE = 4 * STEPS,
    HEAD_MOST = 4096, /* of an object: so many parents are in it */
};

extern char **environ;

/* What a repository has in refs/replace/ can be pushed, and shows other commits than there are. */
static noreturn void become(const char *const *words)
{
    const char *program = getenv("JAILSSH_GIT");
    if (program && setenv("GIT_NO_REPLACE_OBJECTS", "1", 1) == 0)
        execve(program, (char *const *)words, environ);
    _exit(127);
}

/* `git cat-file --batch`, which is started once and asked many times. */
static struct {
    FILE *to, *from;
    bool started;
} batch;

static void start(void)
{
    static const char *const words[] = { "git", "cat-file", "--batch", NULL };
    int in[2], out[2];
    batch.started = true;
    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
        return;
    signal(SIGPIPE, SIG_IGN);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGPIPE, SIG_DFL);
        if (dup2(in[0], STDIN_FILENO) >= 0 && dup2(out[1], STDOUT_FILENO) >= 0)
            become(words);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    if (pid > 0) {
        batch.to = fdopen(in[1], "w");
        batch.from = fdopen(out[0], "r");
    }
}

static void copy(char *to, const char *id)
{
    snprintf(to, ID_MOST + 1, "%s", id);
}

struct commit {
    bool is_commit;
    size_t count;
    char parents[STEPS][ID_MOST + 1];
};

/* Take the line "WORD ID" at AT into ID; returns what follows, NULL for any other line. */
static const char *take(const char *at, const char *end, const char *word, char *id)
{
    size_t n = strlen(word);
    if ((size_t)(end - at) <= n || memcmp(at, word, n) != 0)
        return NULL;
    at += n;
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    if (!newline || newline - at > ID_MOST)
        return NULL;
    memcpy(id, at, (size_t)(newline - at));
    id[newline - at] = '\0';
    return strspn(id, "0123456789abcdef") == (size_t)(newline - at) ? newline + 1 : NULL;
}

/* Find what leads to an object, as git itself does: a line anywhere else, which a push can bring, says nothing. */
static void find_parents(const char *at, const char *end, bool tag, struct commit *commit)
{
    static const char of_commit[] = "type commit\n";
    char tree[ID_MOST + 1];
    if (tag) {
        at = take(at, end, "object ", commit->parents[0]);
        commit->count = at && (size_t)(end - at) >= strlen(of_commit) && memcmp(at, of_commit, strlen(of_commit)) == 0;
        return;
    }
    at = take(at, end, "tree ", tree);
    while (at && commit->count < STEPS && (at = take(at, end, "parent ", commit->parents[commit->count])))
        commit->count++;
}

/* Read what ID is; of a tag of a commit, that commit stands for its parents. */
static bool read_object(const char *id, struct commit *commit)
{
    char line[2 * ID_MOST + 64], type[16] = "", head[HEAD_MOST];
    size_t left;
    *commit = (struct commit){ .count = 0 };
    if (!batch.started)
        start();
    if (!batch.to || !batch.from || fprintf(batch.to, "%s\n", id) < 0 || fflush(batch.to) != 0 ||
        !fgets(line, sizeof line, batch.from))
        return false;
    if (sscanf(line, "%*s %15s %zu", type, &left) != 2)
        return true; /* it is missing */
    bool tag = strcmp(type, "tag") == 0;
    commit->is_commit = strcmp(type, "commit") == 0;
    size_t n = fread(head, 1, left < sizeof head ? left : sizeof head, batch.from);
    if (tag || commit->is_commit)
        find_parents(head, head + n, tag, commit);
    for (left -= n; left > 0 && getc(batch.from) != EOF; left--)
        ;
    return getc(batch.from) == '\n';
}

/* Go from NEW towards the beginning, the nearest first, as long as that is cheap. */
static bool is_near(const char *old, const char *new)
{
    static char queue[QUEUE][ID_MOST + 1];
    static struct commit commit;
    size_t end = 1;
    copy(queue[0], new);
    for (size_t at = 0; at < end && at < STEPS; at++) {
        if (!read_object(queue[at], &commit))
            return false;
        for (size_t i = 0; i < commit.count; i++) {
            bool known = false;
            if (strcmp(commit.parents[i], old) == 0)
                return true;
            for (size_t k = 0; k < end && !known; k++)
                known = strcmp(queue[k], commit.parents[i]) == 0;
            if (!known && end < QUEUE)
                copy(queue[end++], commit.parents[i]);
        }
    }
    return false;
}

static bool is_ancestor(const char *old, const char *new)
{
    const char *const words[] = { "git", "merge-base", "--is-ancestor", old, new, NULL };
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        /* Standard output is for git's own answers. */
        if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0)
            become(words);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool git_leads(const char *old, const char *new)
{
    static char last[2][ID_MOST + 1];
    static struct commit commit;
    static bool led;
    if (strlen(old) > ID_MOST || strlen(new) > ID_MOST)
        return false;
    if (strcmp(last[0], old) != 0 || strcmp(last[1], new) != 0) {
        led = read_object(old, &commit) && commit.is_commit &&
              (strcmp(old, new) == 0 || is_near(old, new) || is_ancestor(old, new));
        copy(last[0], old);
        copy(last[1], new);
    }
    return led;
}
