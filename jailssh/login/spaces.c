/* The namespaces of another process.  It is opened as its directory in /proc, which is of that process alone: what has
 * its number later is not there. */
#include "spaces.h"

#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

/* That of mounts is the last: paths lead elsewhere in there. */
static const struct {
    const char *path;
    int type;
} spaces[SPACES] = { { "ns/pid", CLONE_NEWPID },
                     { "ns/net", CLONE_NEWNET },
                     { "ns/ipc", CLONE_NEWIPC },
                     { "ns/uts", CLONE_NEWUTS },
                     { "ns/mnt", CLONE_NEWNS } };

/* None of a process that has ended, reaped or not. */
bool spaces_open(int process, int fds[SPACES])
{
    for (int i = 0; i < SPACES; i++)
        if ((fds[i] = openat(process, spaces[i].path, O_RDONLY | O_CLOEXEC)) < 0)
            return false;
    return true;
}

/* And close them.  That of processes is entered by what is cloned from now on. */
bool spaces_enter(int fds[SPACES])
{
    bool all = true;
    for (int i = 0; i < SPACES; i++) {
        all = all && setns(fds[i], spaces[i].type) == 0;
        close(fds[i]);
        fds[i] = -1;
    }
    return all;
}

int spaces_process(int proc, const char *name)
{
    return openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

const char *spaces_start(int process, char text[SPACES_STAT])
{
    enum { NAME = 2, START = 22 };
    int fd = openat(process, "stat", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, SPACES_STAT - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    char *at = strrchr(text, ')'); /* the name ends there, whatever is in it */
    for (int field = NAME; at && field < START; field++)
        at = strchr(at + 1, ' ');
    return at ? at + 1 : NULL;
}
