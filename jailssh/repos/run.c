#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

enum { LINE_MOST = 8192 };

extern char **environ;

/* The environment is the plan's: it says which hooks and which settings there are, whatever a repository says. */
static pid_t start(int dir, const char *const *words, int out)
{
    const char *program = getenv("JAILSSH_GIT");
    pid_t pid = program ? fork() : -1;
    if (pid != 0)
        return pid;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0 && fchdir(dir) == 0 && dup2(null, STDIN_FILENO) >= 0 &&
        dup2(out < 0 ? null : out, STDOUT_FILENO) >= 0)
        execve(program, (char *const *)words, environ);
    _exit(127);
}

static bool ended_well(pid_t pid)
{
    int status;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool run_git(int dir, const char *const *words)
{
    return ended_well(start(dir, words, -1));
}

bool run_git_lines(int dir, const char *const *words, void (*take)(void *context, const char *line), void *context)
{
    char line[LINE_MOST];
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    pid_t pid = start(dir, words, ends[1]);
    close(ends[1]);
    FILE *from = fdopen(ends[0], "r");
    bool whole = from;
    while (whole && fgets(line, sizeof line, from)) {
        size_t n = strlen(line);
        whole = n > 0 && line[n - 1] == '\n';
        line[whole ? n - 1 : 0] = '\0';
        if (whole)
            take(context, line);
    }
    whole = whole && !ferror(from);
    if (from)
        fclose(from);
    else
        close(ends[0]);
    return ended_well(pid) && whole;
}
