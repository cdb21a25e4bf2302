#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../login/readable.h"
#include "command.h"

enum {
    OUTPUT_MOST = 32 << 10, /* less than a pipe holds: a client that reads nothing stops no command */
    PART = 4096,            /* what a pipe that has room takes at once */
    DRAINED = 16,
    GRACE = 1000, /* milliseconds between SIGTERM and SIGKILL */
};

/* Of each process: one that means no harm needs less. */
static const rlim_t most_bytes = (rlim_t)1 << 30;

extern char **environ;

static size_t said;

long long command_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void command_say(const char *text, size_t n)
{
    struct pollfd to = { STDERR_FILENO, POLLOUT, 0 };
    if (poll(&to, 1, 0) != 1 || !(to.revents & POLLOUT) || write(STDERR_FILENO, text, n) < 0)
        said = OUTPUT_MOST;
}

/* Pass on PART bytes at most; false at the end, or when there is nothing now.  A character that is cut by the end of a
 * part shows as one that cannot be read. */
static bool pass(int out)
{
    static const char cut[] = "\njailssh: it says more, which is left out\n";
    char text[PART + 1];
    ssize_t n = read(out, text, PART);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    text[n] = '\0';
    for (size_t at = 0, step; at < (size_t)n; at += step) {
        step = readable(text + at);
        if (step == 0) {
            text[at] = text[at] == '\n' || text[at] == '\t' ? text[at] : '?';
            step = 1;
        }
    }
    size_t left = OUTPUT_MOST - said;
    if (left > 0)
        command_say(text, (size_t)n < left ? (size_t)n : left);
    if (left > 0 && (size_t)n >= left)
        command_say(cut, sizeof cut - 1);
    said = (size_t)n < left && said < OUTPUT_MOST ? said + (size_t)n : OUTPUT_MOST;
    return true;
}

static void forget_ours(void)
{
    char name[32];
    unsetenv("JAILSSH_AFTER");
    unsetenv("JAILSSH_AFTER_SECONDS");
    unsetenv("JAILSSH_GIT");
    for (unsigned i = 0; snprintf(name, sizeof name, "JAILSSH_REFS_%u", i) > 0 && getenv(name); i++)
        unsetenv(name);
}

static const struct rlimit *lowered(struct rlimit *limit, rlim_t most)
{
    limit->rlim_max = limit->rlim_max < most ? limit->rlim_max : most;
    limit->rlim_cur = limit->rlim_cur < limit->rlim_max ? limit->rlim_cur : limit->rlim_max;
    return limit;
}

static bool is_bounded(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_CORE, &limit) == 0 && setrlimit(RLIMIT_CORE, lowered(&limit, 0)) == 0 &&
           getrlimit(RLIMIT_DATA, &limit) == 0 && setrlimit(RLIMIT_DATA, lowered(&limit, most_bytes)) == 0 &&
           getrlimit(RLIMIT_FSIZE, &limit) == 0 && setrlimit(RLIMIT_FSIZE, lowered(&limit, most_bytes)) == 0;
}

static void become(char *const *words, int in, int out)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    if (!is_bounded())
        return;
    forget_ours();
    if (setsid() >= 0 && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(out, STDERR_FILENO) >= 0)
        execve(words[0], words, environ);
}

static pid_t start(char *const *words, int in, int *out)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        become(words, in, ends[1]);
        _exit(127);
    }
    close(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    *out = ends[0];
    return pid;
}

static void nothing(int number)
{
    (void)number;
}

/* SIGCHLD comes only while ppoll(2) waits, so none is missed. */
static void prepare(sigset_t *waiting)
{
    static const struct sigaction wakes = { .sa_handler = nothing };
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigaction(SIGCHLD, &wakes, NULL);
    sigprocmask(SIG_BLOCK, &child, waiting);
    sigdelset(waiting, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = { .si_pid = 0 };
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid;
}

struct ending command_run(char *const *words, int in, long long end)
{
    struct ending ending = { 127 << 8, true, 0 };
    long long begun = command_clock(), until = end;
    sigset_t waiting;
    int out = -1;
    prepare(&waiting);
    pid_t pid = start(words, in, &out);
    for (bool open = true; pid > 0 && !has_ended(pid);) {
        long long left = until - command_clock();
        if (left <= 0) {
            kill(-pid, ending.in_time ? SIGTERM : SIGKILL);
            until = command_clock() + GRACE;
            ending.in_time = false;
            continue;
        }
        struct pollfd from = { open ? out : -1, POLLIN, 0 };
        struct timespec most = { left / 1000, left % 1000 * 1000000 };
        if (ppoll(&from, 1, &most, &waiting) > 0)
            open = pass(out);
    }
    if (pid > 0) {
        kill(-pid, SIGKILL); /* what it has left behind */
        waitpid(pid, &ending.status, 0);
    }
    for (int i = 0; out >= 0 && i < DRAINED && pass(out); i++)
        ;
    close(out);
    ending.took = command_clock() - begun;
    return ending;
}
