#include "groups.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "fd.h"

enum { TRIES = 200, WAIT = 10000000, NUMBER = 24 }; /* WAIT: nanoseconds */

static const struct plan *owned;
static pid_t owner;

void groups_own(const struct plan *plan)
{
    owned = plan;
    owner = getpid();
}

void groups_enter(pid_t pid)
{
    char text[NUMBER];
    int n = snprintf(text, sizeof text, "%d\n", pid);
    for (size_t i = 0; i < owned->count; i++) {
        if (owned->records[i].verb != OP_CONTROL_GROUP)
            continue;
        const char *path = owned->records[i].args[0];
        int group = fd_walk(AT_FDCWD, path, O_PATH | O_DIRECTORY, FD_ANY);
        int fd = group < 0 ? -1 : fd_walk(group, "cgroup.procs", O_WRONLY, FD_ANY);
        if (fd < 0 || write(fd, text, (size_t)n) != n)
            refuse(R_LIMITS, path, errno);
        close(fd);
        close(group);
    }
}

void groups_remove(const struct plan *plan, bool patience)
{
    for (size_t i = 0; i < plan->count; i++)
        for (int tries = patience ? TRIES : 1; plan->records[i].verb == OP_CONTROL_GROUP && tries > 0; tries--) {
            if (rmdir(plan->records[i].args[0]) == 0 || errno != EBUSY)
                break;
            nanosleep(&(struct timespec){ .tv_nsec = WAIT }, NULL);
        }
}

void groups_give_up(void)
{
    if (owned && owner == getpid())
        groups_remove(owned, false);
}
