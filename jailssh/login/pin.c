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
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "fail.h"
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

/* The directory of the pins is a mount of its own and private: the kernel refuses a mount namespace that would be
 * propagated into itself. */
static bool make_directory(int run)
{
    return fchdir(run) == 0 && (mkdir("ns", 0755) == 0 || errno == EEXIST) &&
           syscall(SYS_mount, "jailssh", "ns", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                   "size=1m,nr_inodes=4096,mode=0755,uid=0,gid=0") == 0 &&
           syscall(SYS_mount, NULL, "ns", NULL, MS_PRIVATE, NULL) == 0;
}

static bool bind_pin(int run, int namespace, const char *path)
{
    char from[32];
    snprintf(from, sizeof from, "/proc/self/fd/%d", namespace);
    int file = openat(run, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    return file >= 0 && close(file) == 0 && fchdir(run) == 0 &&
           syscall(SYS_mount, from, path, NULL, MS_BIND, NULL) == 0;
}

/* Make a namespace of TYPE, of mounts or of the network, by going there and coming back, and bind it to PATH. */
static bool make_pin(int run, int self, const char *type, const char *path, int image)
{
    bool mounts = strcmp(type, "mnt") == 0;
    int host = openat(self, type, O_RDONLY | O_CLOEXEC);
    if (mounts)
        mount_take_image(image);
    if (host < 0 || unshare(mounts ? CLONE_NEWNS : CLONE_NEWNET) != 0)
        return false;
    if (mounts)
        mount_base();
    int made = openat(self, type, O_RDONLY | O_CLOEXEC);
    if (setns(host, 0) != 0)
        refuse("kernel", "cannot return from the namespace to be pinned", errno);
    bool bound = bind_pin(run, made, path);
    close(host);
    close(made);
    return bound;
}

/* The network's is the first pin: where it is, the directory is. */
static bool make_net_pin(int run, int self)
{
    int old = open_pin(run, "ns/net", CLONE_NEWNET);
    if (old >= 0)
        return close(old) == 0;
    return make_directory(run) &&
           (make_pin(run, self, "net", "ns/net", -1) || (syscall(SYS_umount2, "ns", DETACH), false));
}

/* The kernel lets a mount namespace be bound only in an older one, and tells their ages by numbers that each processor
 * takes from a stock of its own (Linux 6.18).  On the processor that made the one we are in, a new one is younger. */
static void make_pins(int run, int image, const char *path)
{
    cpu_set_t usual, one;
    int self = open("/proc/self/ns", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool made = self >= 0 && make_net_pin(run, self) && make_pin(run, self, "mnt", path, image);
    sched_getaffinity(0, sizeof usual, &usual);
    for (size_t cpu = 0; !made && errno == EINVAL && cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &usual))
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        sched_setaffinity(0, sizeof one, &one);
        made = make_pin(run, self, "mnt", path, image);
    }
    sched_setaffinity(0, sizeof usual, &usual);
    close(self);
    (void)!chdir("/");
}

int pin_open_run_directory(void)
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
    int run = pin_open_run_directory();
    if (run < 0 || fstat(image, &st) != 0)
        return *net = false;
    snprintf(path, sizeof path, "ns/%jx-%jx", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    /* Nobody waits for the lock: its holder's user can stop it, and anyone can open the directory and lock it. */
    int mnt = open_pin(run, path, CLONE_NEWNS);
    if (mnt < 0 && flock(run, LOCK_EX | LOCK_NB) == 0 &&
        (mnt = open_pin(run, path, CLONE_NEWNS)) < 0) { /* another login may have been faster */
        make_pins(run, image, path);
        mnt = open_pin(run, path, CLONE_NEWNS);
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
