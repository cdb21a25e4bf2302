/* cron, at and su start the shell that the account's crontab, they themselves or the account's entry name, by fork(2)
 * from this process, with its own uid.  So here a shell's path leads to the login program: it knows the account by its
 * uid, makes the jail, gives up all power, and only then looks at the command, as for a login by sshd.  Another path
 * leads to a file that this mount namespace does not let anybody execute, an interpreter or a loader too. */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../jailssh/login/view.h"

static const char *const shells[] = { LOGIN_PROGRAM, "/bin/sh", "/bin/bash" };
enum { SHELLS = sizeof shells / sizeof *shells };

static bool bind_host(int descriptors, int host)
{
    char from[16];
    snprintf(from, sizeof from, "%d", host);
    return fchdir(descriptors) == 0 && syscall(SYS_mount, from, VIEW_HOST, NULL, MS_BIND, NULL) == 0;
}

/* Bind the host's mount namespace where the login program finds it.  The kernel lets one be bound in a younger one
 * alone, and tells their ages by numbers that each processor takes from a stock of its own (Linux 6.18): on the
 * processor that made the one we came from, a new one is younger. */
static bool bind_host_on_some_processor(int descriptors, int host)
{
    cpu_set_t usual, one;
    bool bound = bind_host(descriptors, host);
    sched_getaffinity(0, sizeof usual, &usual);
    for (size_t cpu = 0; !bound && errno == EINVAL && cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &usual))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        bound = unshare(CLONE_NEWNS) == 0 && bind_host(descriptors, host);
    }
    int error = errno;
    sched_setaffinity(0, sizeof usual, &usual);
    errno = error;
    return bound;
}

/* Over /proc, since its links lead to files in the mounts of other processes, where they can be executed. */
static bool cover_proc(void)
{
    if (syscall(SYS_mount, "jailssh", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=64k") != 0)
        return false;
    int file = open(VIEW_HOST, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return file >= 0 && close(file) == 0;
}

/* Private, so that nothing that the host mounts later appears here and can be executed. */
static bool nothing_executes(void)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOEXEC, .propagation = MS_PRIVATE };
    return syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &attr, sizeof attr) == 0;
}

static bool put_shells(const int *programs)
{
    for (size_t i = 0; i < SHELLS; i++)
        if (syscall(SYS_move_mount, programs[i], "", AT_FDCWD, shells[i],
                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS) != 0 &&
            (i == 0 || errno != ENOENT))
            return false;
    return true;
}

static const char *enter(int descriptors, int host, const int *programs)
{
    if (unshare(CLONE_NEWNS) != 0)
        return "cannot make a mount namespace";
    if (!nothing_executes())
        return "cannot forbid execution (needs Linux 5.12)";
    if (!cover_proc())
        return "cannot cover /proc";
    if (!bind_host_on_some_processor(descriptors, host))
        return "cannot bind the host's mount namespace";
    if (!put_shells(programs))
        return "cannot put the login program in the place of shells";
    return chdir("/") == 0 ? NULL : "cannot change the directory";
}

const char *view_enter(void)
{
    int programs[SHELLS], host = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    int descriptors = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const char *why = host < 0 || descriptors < 0 ? "cannot open /proc" : NULL;
    for (size_t i = 0; i < SHELLS; i++) {
        programs[i] = (int)syscall(SYS_open_tree, AT_FDCWD, LOGIN_PROGRAM,
                                   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
        why = why || programs[i] >= 0 ? why : "cannot open the login program";
    }
    why = why ? why : enter(descriptors, host, programs);
    int error = errno;
    for (size_t i = 0; i < SHELLS; i++)
        close(programs[i]);
    close(host);
    close(descriptors);
    errno = error;
    return why;
}
