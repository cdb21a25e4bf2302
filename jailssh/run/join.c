#include "join.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "fd.h"
#include "spaces.h"

enum { PATIENCE = 5 }; /* seconds for what runs to end by itself */

static const struct {
    const char *name;
    int type;
} kinds[] = { { "ns/mnt", CLONE_NEWNS },       { "ns/pid", CLONE_NEWPID }, { "ns/user", CLONE_NEWUSER },
              { "ns/net", CLONE_NEWNET },      { "ns/ipc", CLONE_NEWIPC }, { "ns/uts", CLONE_NEWUTS },
              { "ns/cgroup", CLONE_NEWCGROUP } };

/* Those of PROCESS that SELF is not in. */
static int others(int process, int self)
{
    int found = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct stat theirs, ours;
        if (fstatat(process, kinds[i].name, &theirs, 0) != 0 || fstatat(self, kinds[i].name, &ours, 0) != 0)
            refuse(R_SETUP, "what holds the tree has ended", 0);
        if (theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev)
            found |= kinds[i].type;
    }
    return found;
}

/* The process is pinned before it is looked at: what was started then and has this number is what the number leads to
 * for as long as it lives, and nothing is entered of what does not. */
void join_enter(const struct plan *plan)
{
    char *const *wanted = plan_first(plan, OP_JOIN);
    char text[SPACES_STAT];
    struct stat root, host, now;
    const char *start = wanted[1];
    size_t length = strlen(start);
    int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)plan_number(wanted[0], 10), 0);
    int proc = fd_walk(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY, FD_ANY);
    int process = pidfd < 0 ? -1 : spaces_process(proc, wanted[0]), self = spaces_process(proc, "self");
    const char *started = process < 0 ? NULL : spaces_start(process, text);
    if (!started || strncmp(started, start, length) != 0 || started[length] != ' ')
        refuse(R_SETUP, "what holds the tree has ended", 0);
    int spaces = others(process, self);
    if (fstatat(process, "root", &root, 0) != 0 || stat("/", &host) != 0)
        refuse(R_SETUP, "cannot look at the root of what holds the tree", errno);
    if (!(spaces & CLONE_NEWNS) || !(spaces & CLONE_NEWPID))
        refuse(R_SETUP, "what holds the tree is in the namespaces of the host", 0);
    if (setns(pidfd, spaces) != 0 || stat("/", &now) != 0)
        refuse(R_KERNEL, "cannot enter the namespaces", errno);
    if (root.st_dev != now.st_dev || root.st_ino != now.st_ino ||
        (host.st_dev == now.st_dev && host.st_ino == now.st_ino))
        refuse(R_IMAGE, "root of what holds the tree is not the tree", 0);
    close(self);
    close(process);
    close(proc);
    close(pidfd);
}

static time_t seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static noreturn void end_all(void)
{
    const struct timespec look = { .tv_nsec = 20000000 };
    time_t until = seconds_now() + PATIENCE;
    kill(-1, SIGTERM);
    kill(-1, SIGCONT);
    while (kill(-1, 0) == 0 && seconds_now() < until) {
        nanosleep(&look, NULL);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
    }
    _exit(0); /* and with it whatever is left */
}

void join_hold(int channel)
{
    sigset_t all;
    bool told = setsid() >= 0 && send(channel, "", 1, MSG_NOSIGNAL) == 1;
    if (!told)
        refuse(R_SETUP, "cannot hold the tree", errno);
    for (int fd = channel; fd >= 0; fd--)
        close(fd);
    sigfillset(&all);
    for (;;) {
        siginfo_t info;
        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
        /* Everybody in there can send it; only what comes from outside has the number of no process there. */
        if (sigwaitinfo(&all, &info) == SIGTERM && info.si_pid == 0)
            end_all();
    }
}
