/* The pinned namespaces: one nearly empty mount namespace below RUN_DIR that every login starts from, so that a
 * login's cost does not grow with the number of mounts on the host, and one empty network namespace, since making one
 * costs as much as all the rest of a login. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <stdnoreturn.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "mount.h"

enum { NSFS = 0x6e736673, DETACH = 2 };

static int open_pin(int run, const char *name, int type)
{
    struct statfs fs;
    int fd = openat(run, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == NSFS && ioctl(fd, NS_GET_NSTYPE) == type)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool mount_small(const char *where, unsigned long flags)
{
    return syscall(SYS_mount, "jailssh", where, "tmpfs", flags | MS_NOSUID | MS_NOEXEC,
                   "size=64k,nr_inodes=32,mode=0755,uid=0,gid=0") == 0;
}

static bool make_read_only(unsigned long flags)
{
    return syscall(SYS_mount, NULL, ".", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC | flags,
                   NULL) == 0;
}

/* The process whose namespaces get pinned: make the tree, tell, and wait to be let go. */
static noreturn void hold_namespaces(int channel)
{
    char byte;
    bool good = unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 &&
                syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && chdir(RUN_DIR) == 0 &&
                mount_small("ns", MS_NODEV) && chdir("ns") == 0 && mkdir("dev", 0755) == 0 && chmod("dev", 0755) == 0 &&
                mount_small("dev", 0) && make_read_only(MS_NODEV) && chdir("dev") == 0;
    if (good) {
        mount_fill_dev(AT_FDCWD);
        good = make_read_only(0) && chdir("..") == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
               syscall(SYS_umount2, ".", DETACH) == 0;
    }
    if (good && write(channel, "", 1) == 1)
        (void)!read(channel, &byte, 1);
    _exit(0);
}

static bool bind_namespace(pid_t holder, const char *name)
{
    char from[64];
    snprintf(from, sizeof from, "/proc/%d/ns/%s", (int)holder, name);
    int file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    return file >= 0 && close(file) == 0 && syscall(SYS_mount, from, name, NULL, MS_BIND, NULL) == 0;
}

/* Bind the holder's namespaces to files on a private mount: the kernel refuses a mount namespace that would be
 * propagated into itself. */
static void bind_namespaces(int run, pid_t holder)
{
    if (fchdir(run) == 0 && mount_small("ns", MS_NODEV) &&
        syscall(SYS_mount, NULL, "ns", NULL, MS_PRIVATE, NULL) == 0 && chdir("ns") == 0 &&
        bind_namespace(holder, "net"))
        bind_namespace(holder, "mnt");
    (void)!chdir("/");
}

static void make_pins(int run)
{
    int channel[2];
    char byte;
    if ((mkdirat(run, "ns", 0755) != 0 && errno != EEXIST) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0)
        return;
    pid_t holder = fork();
    if (holder == 0) {
        close(channel[0]);
        hold_namespaces(channel[1]);
    }
    close(channel[1]);
    if (holder > 0 && read(channel[0], &byte, 1) == 1)
        bind_namespaces(run, holder);
    close(channel[0]);
    if (holder > 0)
        waitpid(holder, NULL, 0);
}

static int open_run_directory(void)
{
    int run = fd_walk(AT_FDCWD, RUN_DIR, O_RDONLY | O_DIRECTORY, FD_ROOT_ONLY);
    if (run < 0 && errno == ENOENT && mkdir(RUN_DIR, 0755) == 0 && chmod(RUN_DIR, 0755) == 0)
        run = fd_walk(AT_FDCWD, RUN_DIR, O_RDONLY | O_DIRECTORY, FD_ROOT_ONLY);
    return run;
}

bool pin_enter(bool *net)
{
    bool entered = false;
    int run = open_run_directory(), mnt = open_pin(run, "ns/mnt", CLONE_NEWNS);
    if (mnt < 0 && run >= 0 && flock(run, LOCK_EX) == 0) {
        mnt = open_pin(run, "ns/mnt", CLONE_NEWNS); /* another login may have been faster */
        if (mnt < 0) {
            make_pins(run);
            mnt = open_pin(run, "ns/mnt", CLONE_NEWNS);
        }
    }
    int other = mnt >= 0 && *net ? open_pin(run, "ns/net", CLONE_NEWNET) : -1;
    *net = other >= 0 && setns(other, CLONE_NEWNET) == 0;
    entered = mnt >= 0 && setns(mnt, CLONE_NEWNS) == 0 && chdir("/") == 0;
    close(other);
    close(mnt);
    close(run);
    return entered;
}
