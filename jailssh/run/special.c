#include "special.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"
#include "fd.h"
#include "mnt.h"
#include "notify.h"
#include "system.h"

enum { PRIVATE = 1 << 18 }; /* MS_PRIVATE, from <sys/mount.h>, which cannot be included beside <linux/mount.h> */

int special_clone(int fd, bool recursive, unsigned long attr, unsigned long propagation)
{
    unsigned deep = recursive ? AT_RECURSIVE : 0;
    bool time = attr & (MOUNT_ATTR__ATIME | MOUNT_ATTR_NOATIME);
    struct mount_attr wanted = { .attr_set = attr,
                                 .attr_clr = time ? MOUNT_ATTR__ATIME : 0,
                                 .propagation = propagation ? propagation : PRIVATE };
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | deep;
    int tree = fd < 0 ? -1 : (int)syscall(SYS_open_tree, fd, "", flags);
    if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | deep, &wanted, sizeof wanted) != 0)
        refuse(R_SOURCE, "cannot clone a mount", errno);
    close(fd);
    return tree;
}

/* The device itself cannot be made in a user namespace: the host's is shown. */
static void show_device(int dev, const char *name)
{
    char path[32];
    snprintf(path, sizeof path, "/dev/%s", name);
    int source = fd_walk(AT_FDCWD, path, O_PATH, FD_ANY);
    if (source < 0 || !fd_write_new(dev, name, ""))
        refuse(R_SOURCE, path, errno);
    int mount = special_clone(source, false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0);
    mnt_attach(mount, fd_walk(dev, name, O_PATH, FD_ANY));
    close(mount);
}

void special_dev(const struct plan *plan, int root)
{
    static const char *const devices[] = { "null", "zero", "full", "random", "urandom", "tty" };
    static const char *const links[][2] = { { "ptmx", "pts/ptmx" },
                                            { "fd", "/proc/self/fd" },
                                            { "stdin", "/proc/self/fd/0" },
                                            { "stdout", "/proc/self/fd/1" },
                                            { "stderr", "/proc/self/fd/2" } };
    static const char *const options[][2] = { { "mode", "620" }, { "ptmxmode", "0666" }, { "max", "64" }, { NULL } };
    static const char *const of_system[][2] = { { "mode", "620" },
                                                { "ptmxmode", "0666" },
                                                { "max", "1024" },
                                                { "gid", "5" }, /* tty */
                                                { NULL } };
    const unsigned long quiet = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
    bool system = system_is_wanted(plan);
    int under = fd_walk(root, "/dev", O_PATH | O_DIRECTORY, FD_ANY);
    if (under < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) && plan_says(plan, OP_PTY, "no"))
        return;
    if (under < 0)
        refuse(R_TERMINAL, "tree has no directory /dev for a terminal: make it, or use --no-terminal", 0);
    umask(0);
    mnt_tmpfs(under, "65536", "0755", quiet);
    int dev = fd_walk(root, "/dev", O_PATH | O_DIRECTORY, FD_ANY);
    bool good = dev >= 0 && mkdirat(dev, "pts", 0755) == 0 && mkdirat(dev, "shm", 01777) == 0;
    for (size_t i = 0; good && i < sizeof links / sizeof *links; i++)
        good = symlinkat(links[i][1], dev, links[i][0]) == 0;
    good = good && (!system || fd_write_new(dev, "console", ""));
    if (!good)
        refuse(R_MOUNT, "/dev", errno);
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
        show_device(dev, devices[i]);
    mnt_attach(mnt_new("devpts", system ? of_system : options, quiet),
               fd_walk(dev, "pts", O_PATH | O_DIRECTORY, FD_ANY));
    mnt_tmpfs(fd_walk(dev, "shm", O_PATH | O_DIRECTORY, FD_ANY), system ? "25%" : "64m", "1777",
              quiet | MOUNT_ATTR_NODEV);
    notify_listen(plan, dev);
    if (!system) /* whose init makes links and places for mounts there */
        mnt_restrict(dev, quiet | MOUNT_ATTR_RDONLY);
    umask(077);
    close(dev);
}

/* What tells of the kernel or of others, or does something to the host. */
static bool is_hidden(const char *name)
{
    static const char *const names[] = { "kallsyms",      "kcore",      "key-users",  "keys",        "kmsg",
                                         "kpagecgroup",   "kpagecount", "kpageflags", "sched_debug", "slabinfo",
                                         "sysrq-trigger", "timer_list", "vmallocinfo" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* All that is no process's: root's own files, which root can write to without any capability. */
static void seal(int proc)
{
    const unsigned long attr = mnt_attributes(false, false);
    DIR *names = fdopendir(proc);
    if (!names)
        refuse(R_MASK, "/proc", errno);
    for (struct dirent *entry; (errno = 0, entry = readdir(names));) {
        const char *name = entry->d_name;
        if (*name == '.' || (*name >= '0' && *name <= '9') || entry->d_type == DT_LNK)
            continue;
        bool hidden = is_hidden(name);
        int from = hidden ? fd_walk(AT_FDCWD, "/dev/null", O_PATH, FD_ANY) : fd_walk(proc, name, O_PATH, FD_ANY);
        int mount = special_clone(from, true, hidden ? attr & ~(unsigned long)MOUNT_ATTR_NODEV : attr, 0);
        mnt_attach(mount, fd_walk(proc, name, O_PATH, FD_ANY));
        close(mount);
    }
    if (errno != 0)
        refuse(R_MASK, "/proc", errno);
    closedir(names);
}

void special_proc(const struct plan *plan, int target, const char *const options[][2])
{
    int mount = mnt_new("proc", options, mnt_attributes(true, false));
    mnt_attach(mount, target);
    int proc = fd_walk(mount, "/", O_RDONLY | O_DIRECTORY, FD_ANY);
    if (proc < 0)
        refuse(R_MASK, "/proc", errno);
    if (plan_first(plan, OP_PRIVILEGED))
        close(proc);
    else
        seal(proc);
    close(mount);
}
