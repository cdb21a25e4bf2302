/* The pinned namespaces: for each image a mount namespace below RUN_DIR that every login to it starts from, so that a
 * login's cost does not grow with the number of mounts on the host, and one empty network namespace, since making one
 * costs as much as half of a login.  A pin is named after the image's device and inode number, which cannot be another
 * directory's while the pin holds the image. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdint.h>
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

#include "fail.h"
#include "fd.h"
#include "mount.h"

enum { NSFS = 0x6e736673 };

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

static noreturn void give_up(int code, const char *reason, const char *detail)
{
    (void)reason, (void)detail;
    _exit(code);
}

/* The process whose namespaces get pinned: make the base, tell, and wait to be let go. */
static noreturn void hold_namespaces(int channel, int image)
{
    char byte;
    fail_set_exit(give_up); /* the login goes on without */
    mount_take_image(image);
    if (unshare(CLONE_NEWNS | CLONE_NEWNET) != 0)
        _exit(1);
    mount_base();
    if (write(channel, "", 1) == 1)
        (void)!read(channel, &byte, 1);
    _exit(0);
}

static bool bind_namespace(pid_t holder, const char *type, const char *name)
{
    char from[64];
    snprintf(from, sizeof from, "/proc/%d/ns/%s", (int)holder, type);
    int file = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
    return file >= 0 && close(file) == 0 && syscall(SYS_mount, from, name, NULL, MS_BIND, NULL) == 0;
}

/* The directory of the pins is a mount of its own and private: the kernel refuses a mount namespace that would be
 * propagated into itself. */
static bool enter_pins(int run)
{
    if (fchdir(run) != 0 || (mkdir("ns", 0755) != 0 && errno != EEXIST))
        return false;
    int net = open_pin(run, "ns/net", CLONE_NEWNET);
    close(net);
    if (net < 0 && (syscall(SYS_mount, "jailssh", "ns", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                            "size=1m,nr_inodes=4096,mode=0755,uid=0,gid=0") != 0 ||
                    syscall(SYS_mount, NULL, "ns", NULL, MS_PRIVATE, NULL) != 0))
        return false;
    return chdir("ns") == 0;
}

static void make_pins(int run, int image, const char *name)
{
    int channel[2];
    char byte;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0)
        return;
    pid_t holder = fork();
    if (holder == 0) {
        close(channel[0]);
        hold_namespaces(channel[1], image);
    }
    close(channel[1]);
    if (holder > 0 && read(channel[0], &byte, 1) == 1 && enter_pins(run) &&
        (access("net", F_OK) == 0 || bind_namespace(holder, "net", "net")))
        bind_namespace(holder, "mnt", name);
    (void)!chdir("/");
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

static bool is_root(const struct stat *image)
{
    struct stat root;
    return stat("/", &root) == 0 && root.st_dev == image->st_dev && root.st_ino == image->st_ino;
}

bool pin_enter(int image, bool *net)
{
    char path[64];
    struct stat st;
    int run = open_run_directory();
    if (run < 0 || fstat(image, &st) != 0)
        return *net = false;
    snprintf(path, sizeof path, "ns/%jx-%jx", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    int mnt = open_pin(run, path, CLONE_NEWNS);
    if (mnt < 0 && flock(run, LOCK_EX) == 0) {
        mnt = open_pin(run, path, CLONE_NEWNS); /* another login may have been faster */
        if (mnt < 0) {
            make_pins(run, image, path + 3);
            mnt = open_pin(run, path, CLONE_NEWNS);
        }
    }
    int other = mnt >= 0 && *net ? open_pin(run, "ns/net", CLONE_NEWNET) : -1;
    *net = other >= 0 && setns(other, CLONE_NEWNET) == 0;
    bool entered = mnt >= 0 && setns(mnt, CLONE_NEWNS) == 0;
    if (entered && !is_root(&st))
        refuse("image", "the pinned root is another image", 0);
    close(other);
    close(mnt);
    close(run);
    return entered;
}
