#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "about.h"
#include "fail.h"
#include "fd.h"
#include "image.h"
#include "mnt.h"
#include "overlay.h"
#include "special.h"
#include "system.h"

enum { OPTIONS = 32, LONGEST = 4096 };
enum { SHARED = 1 << 20, UNBINDABLE = 1 << 17, SLAVE = 1 << 19, MOUNT_PRIVATE = 1 << 18, DEEP = 1 << 14, DETACH = 2 };

static struct stat seen;

static int open_tree_directory(const struct plan *plan)
{
    const char *path = plan_first(plan, OP_TREE)[0];
    int fd = fd_walk(AT_FDCWD, path, O_PATH | O_DIRECTORY, FD_ANY);
    if (fd < 0)
        refuse(R_IMAGE, path, errno);
    return fd;
}

static unsigned long tree_attributes(const struct plan *plan)
{
    unsigned long attr = mnt_attributes(strcmp(plan_first(plan, OP_TREE)[1], "rw") == 0, true);
    return system_is_wanted(plan) ? attr & ~(unsigned long)MOUNT_ATTR_NOSUID : attr;
}

int tree_open(const struct plan *plan)
{
    system_open(plan);
    if (plan_first(plan, OP_FILE_SYSTEM))
        return image_mount(plan);
    int fd = open_tree_directory(plan);
    if (fstat(fd, &seen) != 0)
        refuse(R_IMAGE, "cannot look at the tree", errno);
    if (geteuid() == 0 && !overlay_is_wanted(plan))
        return special_clone(fd, !system_is_wanted(plan), tree_attributes(plan), 0);
    close(fd);
    return -1;
}

/* Who is not root can clone mounts only in a namespace of their own: what the path leads to there is the same. */
static int take(const struct plan *plan)
{
    struct stat now;
    int fd = open_tree_directory(plan);
    if (fstat(fd, &now) != 0 || now.st_dev != seen.st_dev || now.st_ino != seen.st_ino)
        refuse(R_IMAGE, "tree has been exchanged", 0);
    if (overlay_is_wanted(plan))
        return overlay_mount(plan, fd, tree_attributes(plan));
    return special_clone(fd, true, tree_attributes(plan), 0);
}

/* The image below an overlay: that wants a mount of this namespace, which it keeps when that is detached again. */
static int lay_over(const struct plan *plan, int image)
{
    int again = fcntl(image, F_DUPFD_CLOEXEC, 0);
    mnt_attach(image, openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    int tree = overlay_mount(plan, image, tree_attributes(plan));
    if (again < 0 || fchdir(again) != 0 || syscall(SYS_umount2, ".", DETACH) != 0)
        refuse(R_MOUNT, "cannot leave the image below the layer that is written to", errno);
    close(again);
    return tree;
}

struct flags {
    unsigned long attr, propagation;
};

static struct flags read_flags(const char *text)
{
    static const struct {
        const char *word;
        unsigned long attr, propagation;
    } words[] = { { "ro", MOUNT_ATTR_RDONLY, 0 },
                  { "noexec", MOUNT_ATTR_NOEXEC, 0 },
                  { "noatime", MOUNT_ATTR_NOATIME, 0 },
                  { "strictatime", MOUNT_ATTR_STRICTATIME, 0 },
                  { "nodiratime", MOUNT_ATTR_NODIRATIME, 0 },
                  { "private", 0, MOUNT_PRIVATE },
                  { "slave", 0, SLAVE },
                  { "shared", 0, SHARED },
                  { "unbindable", 0, UNBINDABLE } };
    struct flags found = { mnt_attributes(true, true), 0 };
    while (*text) {
        size_t n = strcspn(text, ","), i = 0;
        while (i < sizeof words / sizeof *words && (strlen(words[i].word) != n || strncmp(words[i].word, text, n) != 0))
            i++;
        if (i == sizeof words / sizeof *words)
            refuse(R_PLAN_BAD, "plan with an unknown mount option", 0);
        found.attr |= words[i].attr;
        found.propagation |= words[i].propagation;
        text += n + (text[n] == ',');
    }
    return found;
}

/* Make the directories of PATH in the tree that are missing. */
static void make_directories(int root, const char *path)
{
    char part[LONGEST];
    for (size_t n = 1; path[n - 1]; n++) {
        const char *name;
        if (path[n] != '/' && path[n] != '\0')
            continue;
        memcpy(part, path, n);
        part[n] = '\0';
        int parent = fd_walk_parent(root, part, &name, FD_ANY);
        if (parent < 0 || (mkdirat(parent, name, 0755) != 0 && errno != EEXIST))
            refuse(R_TARGET, path, errno);
        close(parent);
    }
}

static int open_target(int root, const char *path, int flags)
{
    int fd = fd_walk(root, path, O_PATH | flags, FD_ANY);
    if (fd < 0)
        refuse(R_TARGET, path, errno);
    return fd;
}

/* Cut DATA, which is the plan's own, into pairs for mnt_new(). */
static void cut(char *data, const char *pairs[OPTIONS + 1][2], const char *source)
{
    size_t n = 0;
    if (*source) {
        pairs[n][0] = "source";
        pairs[n++][1] = source;
    }
    for (char *end; *data; data = end) {
        end = data + strcspn(data, ",");
        end += *end ? (*end = '\0', 1) : 0;
        if (n >= OPTIONS)
            refuse(R_PLAN_BAD, "too many mount options", 0);
        char *value = strchr(data, '=');
        pairs[n][0] = data;
        pairs[n++][1] = value ? (*value = '\0', value + 1) : NULL;
    }
    pairs[n][0] = NULL;
}

static void mount_new(const struct plan *plan, const struct record *record, int root)
{
    char *const *args = record->args;
    const char *pairs[OPTIONS + 1][2];
    struct flags flags = read_flags(args[2]);
    about(args[4]);
    if (strcmp(args[5], "make") == 0)
        make_directories(root, args[1]);
    int target = open_target(root, args[1], O_DIRECTORY);
    bool proc = strcmp(args[0], "proc") == 0;
    cut(args[3], pairs, proc || strcmp(args[0], "devpts") == 0 ? "" : "none");
    if (proc)
        special_proc(plan, target, pairs);
    else
        mnt_attach(mnt_new(args[0], pairs, flags.attr), target);
    about("");
}

static void mount_clone(const struct record *record, int root)
{
    char *const *args = record->args;
    struct flags flags = read_flags(args[3]);
    struct stat from, to;
    about(args[4]);
    int source = fd_walk(AT_FDCWD, args[0], O_PATH, FD_ANY);
    if (source < 0 && errno == ENOENT && strcmp(args[5], "optional") == 0) {
        about("");
        return;
    }
    if (source < 0 || fstat(source, &from) != 0)
        refuse(R_SOURCE, args[0], errno);
    if (S_ISLNK(from.st_mode))
        refuse(R_SOURCE, args[0], ELOOP);
    if (strcmp(args[5], "make") == 0 && S_ISDIR(from.st_mode))
        make_directories(root, args[1]);
    int target = open_target(root, args[1], 0);
    if (fstat(target, &to) != 0 || S_ISLNK(to.st_mode))
        refuse(R_TARGET, args[1], ELOOP);
    if (S_ISDIR(from.st_mode) != S_ISDIR(to.st_mode))
        refuse(R_TARGET, args[1], ENOTDIR);
    mnt_attach(special_clone(source, strcmp(args[2], "yes") == 0, flags.attr, flags.propagation), target);
    about("");
}

void tree_build(const struct plan *plan, int tree)
{
    static const char *const plain[][2] = { { NULL } };
    if (syscall(SYS_mount, NULL, "/", NULL, DEEP | MOUNT_PRIVATE, NULL) != 0)
        refuse(R_MOUNT, "cannot make the mounts private", errno);
    if (tree < 0)
        tree = take(plan);
    else if (plan_first(plan, OP_FILE_SYSTEM) && overlay_is_wanted(plan))
        tree = lay_over(plan, tree);
    mnt_attach(tree, openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    for (size_t i = 0; i < plan->count; i++) {
        int proc;
        switch (plan->records[i].verb) {
        case OP_DEV:
            special_dev(plan, tree);
            break;
        case OP_PROC: /* left out where the tree has no place for it */
            if ((proc = fd_walk(tree, "/proc", O_PATH | O_DIRECTORY, FD_ANY)) >= 0)
                special_proc(plan, proc, plain);
            break;
        case OP_NEW_FS:
            mount_new(plan, &plan->records[i], tree);
            break;
        case OP_CLONE:
            mount_clone(&plan->records[i], tree);
            break;
        default:
            break;
        }
    }
    if (system_is_wanted(plan))
        system_mounts(tree);
    mnt_become_root(tree);
    close(tree);
}
