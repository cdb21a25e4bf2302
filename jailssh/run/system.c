#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "creds.h"
#include "fail.h"
#include "fd.h"
#include "groups.h"
#include "mnt.h"
#include "outer/stream.h"
#include "special.h"
#include "start.h"

enum { SHARED = 1 << 20, DEEP = 1 << 14, STREAM = 3 }; /* MS_SHARED, MS_REC of <sys/mount.h> */
enum { LONGEST_LOG = 8 << 20 };                        /* bytes; it begins anew then */

bool system_is_wanted(const struct plan *plan)
{
    return plan_first(plan, OP_INIT);
}

static int sys_of_host = -1;

void system_open(const struct plan *plan)
{
    const unsigned long quiet = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_RDONLY;
    if (system_is_wanted(plan) && plan_says(plan, OP_NET, "host"))
        sys_of_host = special_clone(fd_walk(AT_FDCWD, "/sys", O_PATH | O_DIRECTORY, FD_ANY), false, quiet, 0);
}

void system_scope(const struct plan *plan)
{
    if (plan_says(plan, OP_NET, "host") && creds_can_scope())
        creds_scope(false, false);
}

void system_prepare(pid_t pid, int tree)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
    int users = open(path, O_RDONLY | O_CLOEXEC);
    if (users < 0)
        refuse(R_SETUP, "cannot open the user namespace", errno);
    struct mount_attr ids = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)users };
    if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &ids, sizeof ids) != 0)
        refuse(R_IMAGE,
               errno == EINVAL ? "file system of the tree cannot be mapped to other ids (mount_setattr(2))"
                               : "cannot map the ids of the tree",
               errno == EINVAL ? 0 : errno);
    close(users);
    groups_enter(pid);
}

void system_mounts(int root)
{
    static const char *const none[][2] = { { NULL } };
    const unsigned long quiet = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    int sys = sys_of_host >= 0 ? sys_of_host : mnt_new("sysfs", none, quiet | MOUNT_ATTR_RDONLY);
    mnt_attach(sys, fd_walk(root, "/sys", O_PATH | O_DIRECTORY, FD_ANY));
    mnt_attach(mnt_new("cgroup2", none, quiet), fd_walk(root, "/sys/fs/cgroup", O_PATH | O_DIRECTORY, FD_ANY));
}

void system_console(int channel)
{
    int unlock = 0, master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    int slave = master < 0 || ioctl(master, TIOCSPTLCK, &unlock) != 0
                    ? -1
                    : ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct winsize size = { .ws_row = 24, .ws_col = 80 };
    if (slave < 0 || ioctl(slave, TIOCSWINSZ, &size) != 0)
        refuse(R_TERMINAL, "cannot open the console", errno);
    /* The first terminal of a new devpts(5). */
    int mount =
        special_clone(fd_walk(AT_FDCWD, "/dev/pts/0", O_PATH, FD_ANY), false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0);
    mnt_attach(mount, fd_walk(AT_FDCWD, "/dev/console", O_PATH, FD_ANY));
    close(mount);
    if (syscall(SYS_mount, NULL, "/", NULL, DEEP | SHARED, NULL) != 0)
        refuse(R_MOUNT, "cannot share the mounts", errno);
    stream_give_master(channel, master);
    for (int fd = 0; fd < STREAM; fd++)
        if (dup2(slave, fd) != fd)
            refuse(R_SETUP, "cannot set up the streams", errno);
    close(slave);
}

noreturn void system_start(const struct plan *plan)
{
    sigset_t none;
    char **argv = start_list(plan, OP_ARGUMENT), **env = start_list(plan, OP_ENV);
    system_scope(plan);
    setsid();
    umask(022);
    if (!creds_limits_of_command())
        refuse(R_LIMITS, "cannot set the resource limits", errno);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(argv[0], argv, env);
    refuse(R_SETUP, argv[0], errno);
}

int system_await(int channel, int pidfd)
{
    char text[8];
    struct streams got = { .master = -1 };
    struct pollfd ready[] = { { .fd = channel, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
    while (poll(ready, 2, -1) <= 0)
        continue;
    return stream_receive(channel, text, sizeof text, &got) > 0 ? got.master : -1;
}

/* Without a file for it, what starts it takes the console, as a service manager does. */
static void keep(int log, const char *data, size_t size)
{
    struct stat now;
    if (log == STDERR_FILENO) {
        if (send(log, data, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ENOTSOCK)
            (void)!write(log, data, size);
        return;
    }
    if (fstat(log, &now) == 0 && now.st_size + (off_t)size > LONGEST_LOG)
        (void)!ftruncate(log, 0);
    (void)!write(log, data, size); /* a full disk stops nothing in there */
}

/* While nobody has the console open the kernel says so without end: between two lines of an init's, each of which opens
 * it, and after a vhangup(2), which ends what HELD was.  Returns the other end, which we have open then, or -1. */
static int open_again(int master, int held)
{
    if (held >= 0)
        close(held);
    return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* reboot(2) in a namespace of processes ends the first of them by a signal that says which kind it was. */
static int ended(int pidfd)
{
    siginfo_t how = { .si_code = 0 };
    if (waitid(P_PIDFD, (id_t)pidfd, &how, WEXITED) != 0)
        return EXIT_REFUSED;
    if (how.si_code == CLD_EXITED)
        return how.si_status == 0 ? 0 : 1;
    return how.si_status == SIGHUP ? SYSTEM_REBOOTS : how.si_status == SIGINT ? 0 : 1;
}

int system_watch(const struct plan *plan, int master, int pidfd)
{
    static char data[4096];
    char *const *path = plan_first(plan, OP_LOG_FILE);
    int log = STDERR_FILENO, held = -1;
    struct pollfd polled[] = { { .fd = pidfd, .events = POLLIN }, { .fd = master, .events = POLLIN } };
    if (path) {
        const char *name;
        int folder = fd_walk_parent(AT_FDCWD, path[0], &name, FD_ROOT_ONLY);
        log = folder < 0 ? -1 : openat(folder, name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    }
    if (log < 0)
        return EXIT_REFUSED; /* which ends the system */
    while (!polled[0].revents) {
        if (poll(polled, 2, -1) < 0)
            continue;
        ssize_t n = polled[1].revents & POLLIN ? read(master, data, sizeof data) : 0;
        if (n > 0)
            keep(log, data, (size_t)n);
        else if (polled[1].revents && (held = open_again(master, held)) < 0)
            poll(NULL, 0, 100);
    }
    return ended(pidfd);
}
