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

static int *mounts; /* by record: its mount, or -1 */
static int image = -1;

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

static void open_bind(const struct plan *plan, size_t i)
{
    char *const *args = plan->records[i].args, *const *mask = plan_first(plan, OP_UMASK);
    struct source source = { args[0], mask ? (mode_t)plan_number(mask[0], 8) : 022, is(args[5], "make") };
    source.make = source.make && is(args[4], "user");
    int fd = is(args[4], "user") ? as_user(plan, open_source, &source) : open_source(&source);
    if (fd < 0 && errno == ENOENT && is(args[5], "optional"))
        return;
    if (fd < 0)
        refuse("source", args[0], errno);
    mounts[i] = mnt_detach(fd, is(args[2], "rw"), is(args[3], "exec"));
    if (mounts[i] < 0)
        refuse("source", args[0], errno);
    close(fd);
}

int mount_open_image(const struct plan *plan)
{
    const char *path = plan_first(plan, OP_IMAGE)[0];
    int fd = fd_walk(AT_FDCWD, path, O_PATH | O_DIRECTORY, FD_ROOT_ONLY);
    if (fd < 0)
        refuse("image", path, errno);
    return fd;
}

void mount_take_image(int fd)
{
    image = mnt_detach(fd, false, true);
    if (image < 0)
        refuse("image", "cannot clone the image's mount", errno);
}

void mount_open_sources(const struct plan *plan)
{
    mounts = calloc(plan->count, sizeof *mounts);
    if (!mounts)
        refuse("setup", "no memory", 0);
    for (size_t i = 0; i < plan->count; i++) {
        mounts[i] = -1;
        if (plan->records[i].verb == OP_BIND)
            open_bind(plan, i);
    }
}

static int target(const char *path)
{
    int fd = fd_walk(image, path, O_PATH | O_DIRECTORY, FD_ANY);
    if (fd < 0)
        refuse("target", path, errno);
    return fd;
}

static int new_tmpfs(const char *path, const char *size, const char *mode, unsigned long attr)
{
    const char *const options[][2] = { { "size", size }, { "nr_inodes", "65536" }, { "mode", mode }, { NULL, NULL } };
    int mount = mnt_new("tmpfs", options, attr);
    mnt_attach(mount, target(path));
    return mount;
}

/* Make the directories of PATH that are missing.  Only ever in a tmpfs of this session that no user has seen yet. */
static void make_directories(const char *path)
{
    char part[4096];
    for (size_t n = 1; path[n - 1]; n++) {
        if (path[n] != '/' && path[n] != '\0')
            continue;
        memcpy(part, path, n);
        part[n] = '\0';
        const char *name;
        int parent = fd_walk_parent(image, part, &name, FD_ANY);
        if (parent < 0 || (mkdirat(parent, name, 0755) != 0 && errno != EEXIST) || fchmodat(parent, name, 0755, 0) != 0)
            refuse("target", path, errno);
        close(parent);
    }
}

static void write_file(const char *path, const char *content)
{
    const char *name;
    int parent = fd_walk_parent(image, path, &name, FD_ANY);
    if (parent < 0 || !fd_write_new(parent, name, content))
        refuse("target", path, errno);
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
                                            { "stderr", "/proc/self/fd/2" } };
    bool good = mkdirat(dev, "pts", 0755) == 0 && fchmodat(dev, "pts", 0755, 0) == 0;
    for (size_t i = 0; good && i < sizeof nodes / sizeof *nodes; i++)
        good = mknodat(dev, nodes[i].name, S_IFCHR | 0600, makedev(nodes[i].major, nodes[i].minor)) == 0 &&
               fchmodat(dev, nodes[i].name, 0666, 0) == 0;
    for (size_t i = 0; good && i < sizeof links / sizeof *links; i++)
        good = symlinkat(links[i][1], dev, links[i][0]) == 0;
    if (!good)
        refuse("mount", "/dev", errno);
}

void mount_base(void)
{
    if (syscall(SYS_mount, NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        refuse("mount", "cannot make the mounts private", errno);
    mnt_attach(image, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    mnt_restrict_late(image, mnt_attributes(false, true), NULL);
    int dev = new_tmpfs("/dev", "65536", "0755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    fill_dev(dev);
    mnt_restrict(dev, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    mnt_become_root(image);
    close(dev);
}

static void build_devpts(const struct plan *plan)
{
    static const char *const options[][2] = { { "mode", "620" }, { "ptmxmode", "0666" }, { "max", "64" }, { NULL } };
    if (plan_says(plan, OP_PTY, "yes"))
        mnt_attach(mnt_new("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC), target("/dev/pts"));
}

static void build_proc(void)
{
    static const char *const options[][2] = { { "hidepid", "2" }, { "subset", "pid" }, { NULL, NULL } };
    mnt_attach(mnt_new("proc", options, mnt_attributes(true, false)), target("/proc"));
}

/* What is laid over what is hidden, in the tmpfs that every plan has at /run. */
static void make_empty(const struct plan *plan)
{
    if (!plan_first(plan, OP_MASK) && !plan_first(plan, OP_MASK_FILE))
        return;
    make_directories("/run/empty");
    write_file("/run/empty-file", "");
}

static void build_record(const struct plan *plan, size_t i)
{
    char *const *args = plan->records[i].args;
    switch (plan->records[i].verb) {
    case OP_TMPFS:
        mounts[i] = new_tmpfs(args[0], args[1], args[2], mnt_attributes(true, is(args[4], "exec")));
        break;
    case OP_DIR:
        make_directories(args[0]);
        break;
    case OP_FILE:
        write_file(args[0], args[1]);
        break;
    case OP_DEV:
        build_devpts(plan);
        break;
    case OP_PROC:
        build_proc();
        break;
    case OP_BIND:
        if (mounts[i] < 0)
            break;
        mnt_attach(mounts[i], target(args[1]));
        mnt_restrict_late(mounts[i], mnt_attributes(is(args[2], "rw"), is(args[3], "exec")),
                          is(args[4], "user") ? plan : NULL);
        break;
    default:
        break;
    }
}

void mount_build(const struct plan *plan, bool base)
{
    if (!base)
        mount_base();
    image = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool sealed = false;
    for (size_t i = 0; i < plan->count; i++) {
        /* Generated directories and files are complete: what is read-only becomes so before a user's mount comes. */
        if (!sealed && plan->records[i].verb >= OP_DEV)
            make_empty(plan);
        for (size_t t = 0; !sealed && plan->records[i].verb >= OP_DEV && t < i; t++)
            if (plan->records[t].verb == OP_TMPFS && is(plan->records[t].args[3], "ro"))
                mnt_restrict(mounts[t], mnt_attributes(false, is(plan->records[t].args[4], "exec")));
        sealed = sealed || plan->records[i].verb >= OP_DEV;
        build_record(plan, i);
    }
    if (plan_first(plan, OP_MASK) || plan_first(plan, OP_MASK_FILE))
        cover(plan, mounts, image);
    if (chdir("/") != 0)
        refuse("mount", "cannot enter the jail", errno);
}
