#include "passed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"
#include "fd.h"

enum { FIRST = 3, SOCKETS = FIRST + 1, ALL = 128, MOST = 1024 }; /* MOST: the limit that creds_sanitise() sets */

static int sockets;
static int kept[PASSED] = { -1, -1, -1 };

static void close_from(int first)
{
    if (syscall(SYS_close_range, (unsigned)first, ~0u, 0u) != 0)
        for (int fd = first; fd < MOST; fd++)
            close(fd);
}

void passed_sanitise(const struct plan *plan)
{
    char *const *count = plan_first(plan, OP_LISTEN);
    sockets = count ? (int)(plan_number(count[0], 10) & (ALL - 1)) : 0;
    if (!sockets) {
        if (!fd_sanitise())
            refuse(R_SETUP, "cannot close inherited descriptors", errno);
        return;
    }
    close(FIRST);
    close_from(SOCKETS + sockets);
    /* Anything else would lead out of the tree: a directory to all files, a terminal to who sits at it. */
    for (int fd = SOCKETS; fd < SOCKETS + sockets; fd++) {
        struct stat st;
        if (fstat(fd, &st) != 0 || !(S_ISSOCK(st.st_mode) || S_ISFIFO(st.st_mode)) ||
            fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
            refuse(R_SETUP, "what is passed to the daemon is no socket", 0);
    }
    for (int fd = 0; fd < FIRST; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            refuse(R_SETUP, "descriptors 0 to 2 are closed", 0);
}

void passed_set(enum passed which, int fd)
{
    kept[which] = fd;
}

int passed_get(enum passed which)
{
    return kept[which];
}

static bool move(int from, int to)
{
    return from == to || dup3(from, to, O_CLOEXEC) == to;
}

int passed_keep_only(int fd)
{
    int high[PASSED], at = SOCKETS + sockets, above = at + PASSED;
    /* Above all places, so that none is overwritten that is still to be moved. */
    int channel = fcntl(fd, F_DUPFD_CLOEXEC, above);
    for (int i = 0; i < PASSED; i++)
        high[i] = kept[i] < 0 ? -1 : fcntl(kept[i], F_DUPFD_CLOEXEC, above);
    if (channel < 0 || !move(channel, FIRST))
        return -1;
    for (int i = 0; i < PASSED; i++) {
        if (kept[i] < 0)
            continue;
        if (high[i] < 0 || !move(high[i], at))
            return -1;
        kept[i] = at++;
    }
    close_from(at);
    return FIRST;
}

bool passed_become(char **env)
{
    static char pid[32];
    if (!sockets)
        return true;
    for (int i = 0; i < sockets; i++)
        if (dup2(SOCKETS + i, FIRST + i) != FIRST + i)
            return false;
    close(FIRST + sockets);
    snprintf(pid, sizeof pid, "LISTEN_PID=%d", getpid());
    for (; *env; env++)
        if (strncmp(*env, "LISTEN_PID=", strlen("LISTEN_PID=")) == 0)
            *env = pid;
    return true;
}
