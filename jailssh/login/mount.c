#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "asuser.h"
#include "cover.h"
#include "fail.h"
#include "fd.h"
#include "mnt.h"
#include "proc.h"

static bool is(const char *text, const char *value)
{
    return strcmp(text, value) == 0;
}

struct source {
    const char *path;
    mode_t umask;
    bool make;
};

/* Make the directories of a source that are missing.  What cannot be made is found missing by the walk that follows. */
static void make_source(const struct source *source)
{
    char part[4096];
    umask(source->umask);
    for (size_t n = 1; source->path[n - 1]; n++) {
        const char *name;
        if (source->path[n] != '/' && source->path[n] != '\0')
            continue;
        memcpy(part, source->path, n);
        part[n] = '\0';
        int parent = fd_walk_parent(AT_FDCWD, part, &name, FD_ANY);
        if (parent >= 0)
            (void)!mkdirat(parent, name, 0777);
        close(parent);
    }
    umask(077);
}

static int open_source(void *with)
{
    const struct source *source = with;
    int fd = fd_walk(AT_FDCWD, source->path, O_PATH | O_DIRECTORY, FD_ANY);
    if (fd >= 0 || errno != ENOENT || !source->make)
        return fd;
    make_source(source);
    return fd_walk(AT_FDCWD, source->path, O_PATH | O_DIRECTORY, FD_ANY);
}

/* Returns a detached mount, or -1 for one that is not there and need not be. */
static int open_bind(const struct plan *plan, size_t i)
{
    char *const *args = plan->records[i].args, *const *mask = plan_first(plan, OP_UMASK);
    struct source source = { args[0], mask ? (mode_t)plan_number(mask[0], 8) : 022, is(args[5], "make") };
    source.make = source.make && is(args[4], "user");
    int fd = is(args[4], "user") ? as_user(plan, open_source, &source) : open_source(&source);
    if (fd < 0 && errno == ENOENT && is(args[5], "optional"))
        return -1;
    if (fd < 0)
        refuse(R_SOURCE, args[0], errno);
    int mount = mnt_detach(fd, is(args[2], "rw"), is(args[3], "exec"));
    if (mount < 0)
        refuse(R_SOURCE, args[0], errno);
    close(fd);
    return mount;
}

int mount_open_image(const struct plan *plan)
{
    const char *path = plan_first(plan, OP_IMAGE)[0];
    int fd = fd_walk(AT_FDCWD, path, O_PATH | O_DIRECTORY, FD_ROOT_ONLY);
    if (fd < 0)
        refuse(R_IMAGE, path, errno);
    return fd;
}

int mount_take_image(int image)
{
    int tree = mnt_detach(image, false, true);
    if (tree < 0)
        refuse(R_IMAGE, "cannot clone the image's mount", errno);
    return tree;
}

int *mount_open_sources(const struct plan *plan)
{
    int *mounts = calloc(plan->count, sizeof *mounts);
    if (!mounts)
        refuse(R_SETUP, "cannot allocate memory", 0);
    for (size_t i = 0; i < plan->count; i++)
        mounts[i] = plan->records[i].verb == OP_BIND ? open_bind(plan, i) : -1;
    return mounts;
}

static int target(int root, const char *path)
{
    int fd = fd_walk(root, path, O_PATH | O_DIRECTORY, FD_ANY);
    if (fd < 0)
        refuse(R_TARGET, path, errno);
    return fd;
}

static bool make_directory(int root, const char *path)
{
    const char *name;
    int parent = fd_walk_parent(root, path, &name, FD_ANY);
    bool made = parent >= 0 && (mkdirat(parent, name, 0755) == 0 || errno == EEXIST);
    if (parent >= 0)
        close(parent); /* leaves errno as it is */
    return made;
}

/* Make the directories of PATH that are missing.  Only ever in a tmpfs of this session that no user has seen yet. */
static void make_directories(int root, const char *path)
{
    char part[4096];
    if (make_directory(root, path))
        return;
    for (size_t n = 1; path[n - 1]; n++) {
        if (path[n] != '/' && path[n] != '\0')
            continue;
        memcpy(part, path, n);
        part[n] = '\0';
        if (!make_directory(root, part))
            refuse(R_TARGET, path, errno);
    }
}

static void write_file(int root, const char *path, const char *content)
{
    const char *name;
    int parent = fd_walk_parent(root, path, &name, FD_ANY);
    if (parent < 0 || !fd_write_new(parent, name, content))
        refuse(R_TARGET, path, errno);
    close(parent);
}

static void fill_dev(int dev)
{
    static const struct {
        const char *name;
        unsigned major, minor;
    } nodes[] = { { "null", 1, 3 },   { "zero", 1, 5 },    { "full", 1, 7 },
                  { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 } };
    static const char *const links[][2] = { { "ptmx", "pts/ptmx" },
                                            { "fd", "/proc/self/fd" },
                                            { "stdin", "/proc/self/fd/0" },
                                            { "stdout", "/proc/self/fd/1" },
                                            { "stderr", "/proc/self/fd/2" },
                                            { "shm", "/tmp" },
                                            { "log", "/run/systemd/journal/dev-log" } };
    bool good = mkdirat(dev, "pts", 0755) == 0;
    for (size_t i = 0; good && i < sizeof nodes / sizeof *nodes; i++)
        good = mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) == 0;
    for (size_t i = 0; good && i < sizeof links / sizeof *links; i++)
        good = symlinkat(links[i][1], dev, links[i][0]) == 0;
    if (!good)
        refuse(R_MOUNT, "/dev", errno);
}

/* What covers are clones of.  The tmpfs that a plan has at /run comes over it. */
static void make_empty(int root)
{
    unsigned long attr = mnt_attributes(true, false);
    mnt_tmpfs(target(root, "/run"), "65536", "0755", attr);
    make_directories(root, EMPTY_DIRECTORY);
    write_file(root, EMPTY_FILE, "");
    int mount = target(root, "/run");
    mnt_restrict(mount, attr | MOUNT_ATTR_RDONLY);
    close(mount);
}

void mount_base(int tree)
{
    if (syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        refuse(R_MOUNT, "cannot make the mounts private", errno);
    umask(0);
    mnt_attach(tree, openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    mnt_restrict_late(tree, mnt_attributes(false, true), NULL);
    mnt_tmpfs(target(tree, "/dev"), "65536", "0755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    int dev = target(tree, "/dev");
    fill_dev(dev);
    mnt_restrict(dev, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    make_empty(tree);
    umask(077);
    mnt_become_root(tree);
    close(dev);
    close(tree);
}

static void build_devpts(const struct plan *plan, int root)
{
    static const char *const options[][2] = { { "mode", "620" }, { "ptmxmode", "0666" }, { "max", "64" }, { NULL } };
    if (plan_says(plan, OP_PTY, "yes"))
        mnt_attach(mnt_new("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC), target(root, "/dev/pts"));
}

static void build_record(const struct plan *plan, size_t i, int root, int mount, const struct empty *empty)
{
    char *const *args = plan->records[i].args;
    switch (plan->records[i].verb) {
    case OP_TMPFS:
        mnt_tmpfs(target(root, args[0]), args[1], args[2], mnt_attributes(true, is(args[4], "exec")));
        break;
    case OP_DIR:
        make_directories(root, args[0]);
        break;
    case OP_FILE:
        write_file(root, args[0], args[1]);
        break;
    case OP_PROC_FILE:
        proc_write(plan, i, root);
        break;
    case OP_DEV:
        build_devpts(plan, root);
        break;
    case OP_PROC:
        proc_build(plan, root, empty);
        break;
    case OP_BIND:
        if (mount < 0)
            break;
        mnt_attach(mount, target(root, args[1]));
        mnt_restrict_late(mount, mnt_attributes(is(args[2], "rw"), is(args[3], "exec")),
                          is(args[4], "user") ? plan : NULL);
        break;
    default:
        break;
    }
}

/* Generated directories and files are complete: what is read-only becomes so before a user's mount comes. */
static void seal(const struct plan *plan, int root)
{
    for (size_t i = 0; i < plan->count && plan->records[i].verb <= OP_TMPFS; i++) {
        char *const *args = plan->records[i].args;
        if (plan->records[i].verb != OP_TMPFS || !is(args[3], "ro"))
            continue;
        int mount = target(root, args[0]);
        mnt_restrict(mount, mnt_attributes(false, is(args[4], "exec")));
        close(mount);
    }
}

void mount_build(const struct plan *plan, const int *mounts)
{
    int root = openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct empty empty = cover_open_empty(plan, root);
    size_t i = 0;
    umask(0); /* each mode below is meant as it stands */
    for (; i < plan->count && plan->records[i].verb < OP_DEV; i++)
        build_record(plan, i, root, -1, &empty);
    seal(plan, root);
    for (; i < plan->count; i++)
        build_record(plan, i, root, mounts[i], &empty);
    umask(077);
    cover(plan, mounts, &empty);
    close(root);
    if (chdir("/") != 0)
        refuse(R_MOUNT, "cannot enter the jail", errno);
}
