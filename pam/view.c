/* cron, at and su start the shell that the account's crontab, they themselves or the account's entry name, by fork(2)
 * from this process, with its own uid.  So here a shell's path leads to the login program: it knows the account by its
 * uid, makes the jail, gives up all power, and only then looks at the command, as for a login by sshd.  Another path
 * leads to a file that this mount namespace does not let anybody execute, an interpreter or a loader too. */
#include "module.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../jailssh/login/view.h"

static const char *const shells[] = { LOGIN_PROGRAM, "/bin/sh", "/bin/bash" };
enum { SHELLS = sizeof shells / sizeof *shells };

/* Over /proc, since its links lead to files in the mounts of other processes, where they can be executed.  What is
 * left of it are the links to the namespaces of the host's first process, which root alone can follow: a mount
 * namespace itself can be bound in an older one only. */
static bool cover_proc(int first)
{
    return syscall(SYS_mount, "jailssh", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=64k") ==
               0 &&
           mkdir(VIEW_DIR, 0755) == 0 && chmod(VIEW_DIR, 0755) == 0 &&
           syscall(SYS_move_mount, first, "", AT_FDCWD, VIEW_DIR, MOVE_MOUNT_F_EMPTY_PATH) == 0;
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

static const char *enter(int first, const int *programs)
{
    if (unshare(CLONE_NEWNS) != 0)
        return "cannot make a mount namespace";
    if (!nothing_executes())
        return "cannot forbid execution (needs Linux 5.12)";
    if (!cover_proc(first))
        return "cannot cover /proc";
    if (!put_shells(programs))
        return "cannot put the login program in the place of shells";
    return chdir("/") == 0 ? NULL : "cannot change the directory";
}

static int take(const char *path)
{
    return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
}

const char *view_enter(void)
{
    int programs[SHELLS], first = take("/proc/1/ns");
    const char *why = first < 0 ? "cannot open the namespaces of the host's first process" : NULL;
    for (size_t i = 0; i < SHELLS; i++) {
        programs[i] = take(LOGIN_PROGRAM);
        why = why || programs[i] >= 0 ? why : "cannot open the login program";
    }
    why = why ? why : enter(first, programs);
    int error = errno;
    for (size_t i = 0; i < SHELLS; i++)
        close(programs[i]);
    close(first);
    errno = error;
    return why;
}
