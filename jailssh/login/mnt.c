#include "mnt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "creds.h"
#include "fail.h"
#include "fd.h"

/* From <sys/mount.h>, which cannot be included beside <linux/mount.h>. */
enum { REMOUNT_BIND = MS_REMOUNT | MS_BIND, DETACH = 2 };

static bool late; /* before Linux 5.12: rights are taken from a mount once it is attached */

unsigned long mnt_attributes(bool writable, bool exec)
{
    return MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (writable ? 0ul : MOUNT_ATTR_RDONLY) |
           (exec ? 0ul : MOUNT_ATTR_NOEXEC);
}

/* Clone the tree at the O_PATH descriptor FD.  The clone is private: on most hosts it would else be a peer of the
 * host's mount, and what is mounted on it would appear there too.  Where mount_setattr(2) is missing the clone is of
 * this one mount, since nothing could take the rights of the mounts below it; mnt_restrict_late() finishes it once
 * attached. */
int mnt_detach(int fd, bool writable, bool exec)
{
    struct mount_attr attr = { .attr_set = mnt_attributes(writable, exec), .propagation = MS_PRIVATE };
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
    int tree = (int)syscall(SYS_open_tree, fd, "", flags | AT_RECURSIVE);
    if (tree < 0)
        return -1;
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) == 0)
        return tree;
    late = fd_call_is_missing(errno);
    close(tree);
    return late ? (int)syscall(SYS_open_tree, fd, "", flags) : -1;
}

/* The old way for kernels before 5.12, on an attached mount: its root becomes the working directory. */
void mnt_restrict(int mount, unsigned long attr)
{
    struct mount_attr wanted = { .attr_set = attr };
    if (syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &wanted, sizeof wanted) == 0)
        return;
    struct statvfs old; /* what is restricted already stays so; the numbers of ST_* and MS_* are the same */
    if (!fd_call_is_missing(errno) || fchdir(mount) != 0 || fstatvfs(mount, &old) != 0)
        refuse(R_MOUNT, "cannot restrict a mount", errno);
    unsigned long flags = (old.f_flag & (MS_RDONLY | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME)) |
                          REMOUNT_BIND | MS_NOSUID | (attr & MOUNT_ATTR_RDONLY ? MS_RDONLY : 0ul) |
                          (attr & MOUNT_ATTR_NODEV ? MS_NODEV : 0ul) | (attr & MOUNT_ATTR_NOEXEC ? MS_NOEXEC : 0ul);
    if (syscall(SYS_mount, NULL, ".", NULL, flags, NULL) != 0 ||
        syscall(SYS_mount, NULL, ".", NULL, MS_PRIVATE, NULL) != 0)
        refuse(R_MOUNT, "cannot restrict a mount", errno);
}

void mnt_restrict_late(int mount, unsigned long attr, const struct plan *user)
{
    if (!late)
        return;
    if (user)
        creds_files_as(user->uid, user->gid);
    mnt_restrict(mount, attr);
    if (user)
        creds_files_as(0, 0);
}

bool mnt_try_attach(int mount, int target)
{
    unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    return target >= 0 && syscall(SYS_move_mount, mount, "", target, "", flags) == 0;
}

void mnt_attach(int mount, int target)
{
    if (!mnt_try_attach(mount, target))
        refuse(R_MOUNT, "cannot attach a mount", errno);
    close(target);
}

/* By the old call: eight of the new ones for each login's three would be felt.  The flags have the attributes' numbers;
 * "." is the directory at the descriptor, whatever its name has become. */
void mnt_tmpfs(int target, const char *size, const char *mode, unsigned long attr)
{
    char options[128];
    snprintf(options, sizeof options, "size=%s,nr_inodes=65536,mode=%s", size, mode);
    if (target < 0 || fchdir(target) != 0 || syscall(SYS_mount, "none", ".", "tmpfs", attr, options) != 0)
        refuse(R_MOUNT, "tmpfs", errno);
    close(target);
}

int mnt_new(const char *type, const char *const options[][2], unsigned long attr)
{
    int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
    bool good = fs >= 0;
    for (; good && (*options)[0]; options++)
        good = syscall(SYS_fsconfig, fs, (*options)[1] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, (*options)[0],
                       (*options)[1], 0) == 0;
    good = good && syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0;
    int mount = good ? (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attr) : -1;
    if (mount < 0)
        refuse(R_MOUNT, type, errno);
    close(fs);
    return mount;
}

void mnt_become_root(int image)
{
    struct stat wanted, got, above;
    if (fstat(image, &wanted) != 0 || fchdir(image) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 ||
        syscall(SYS_umount2, ".", DETACH) != 0 || chdir("/") != 0)
        refuse(R_PIVOT, "cannot make the image the root", errno);
    if (stat("/", &got) != 0 || stat("/..", &above) != 0 || got.st_dev != wanted.st_dev ||
        got.st_ino != wanted.st_ino || above.st_dev != wanted.st_dev || above.st_ino != wanted.st_ino)
        refuse(R_PIVOT, "root is not the image of the jail", 0);
}
