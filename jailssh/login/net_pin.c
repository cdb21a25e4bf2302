/* Who makes the namespace holds a lock that is the account's alone, and blocks nobody else by it: a user can stop the
 * login program.  Killed at any point it leaves a file without a namespace, which the next one fills. */
#include "net_pin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"

bool net_loopback_up(void)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    int error = errno;
    close(fd);
    errno = error;
    return up;
}

static int open_directory(void)
{
    int run = fd_walk(AT_FDCWD, RUN_DIR, O_PATH | O_DIRECTORY, FD_ROOT_ONLY);
    if (run < 0 && errno == ENOENT && mkdir(RUN_DIR, 0755) == 0 && chmod(RUN_DIR, 0755) == 0)
        run = fd_walk(AT_FDCWD, RUN_DIR, O_PATH | O_DIRECTORY, FD_ROOT_ONLY);
    if (run < 0)
        return -1;
    bool there = mkdirat(run, "net", 0700) == 0 || errno == EEXIST;
    int dir = there ? fd_walk(run, "net", O_RDONLY | O_DIRECTORY, FD_ROOT_ONLY) : -1;
    close(run); /* leaves errno as it is */
    return dir;
}

/* 1: this process is there; 0: nothing is pinned; -1 with errno. */
static int join(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    int found = ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET ? 0 : setns(fd, CLONE_NEWNET) == 0 ? 1 : -1;
    int error = errno;
    close(fd);
    errno = error;
    return found;
}

static const char *make(int dir, const char *name)
{
    char path[64];
    int fd = openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return "cannot make the file of the account's network";
    close(fd);
    if (unshare(CLONE_NEWNET) != 0)
        return "cannot make the account's network";
    if (!net_loopback_up())
        return "cannot bring up the loopback interface of the account's network";
    /* The directory is root's alone, so its file is still the one that was made. */
    snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, name);
    bool pinned = mount("/proc/thread-self/ns/net", path, NULL, MS_BIND, NULL) == 0;
    return pinned ? NULL : "cannot pin the account's network";
}

static const char *make_alone(int dir, const char *name)
{
    char lock[24];
    snprintf(lock, sizeof lock, "%s.lock", name);
    int fd = openat(dir, lock, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    const char *why = fd < 0 || flock(fd, LOCK_EX) != 0 ? "cannot lock the account's network" : NULL;
    int found = why ? -1 : join(dir, name); /* another login may have been faster */
    if (!why && found != 1)
        why = found == 0 ? make(dir, name) : "cannot enter the account's network";
    int error = errno;
    close(fd);
    errno = error;
    return why;
}

const char *net_pin_enter(uid_t uid)
{
    char name[16];
    int dir = open_directory();
    if (dir < 0)
        return "cannot open the directory of networks";
    snprintf(name, sizeof name, "%u", uid);
    int found = join(dir, name);
    const char *why = found == 1 ? NULL : found == 0 ? make_alone(dir, name) : "cannot enter the account's network";
    int error = errno;
    close(dir);
    errno = error;
    return why;
}

bool net_pin_is_wanted(uid_t uid)
{
    char name[24];
    struct stat st;
    int dir = fd_walk(AT_FDCWD, RUN_DIR "/net", O_PATH | O_DIRECTORY, FD_ROOT_ONLY);
    snprintf(name, sizeof name, "%u.sshd", uid);
    bool there = dir >= 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    close(dir);
    return there;
}
