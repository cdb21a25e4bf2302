#include "cover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "asuser.h"
#include "fail.h"
#include "fd.h"
#include "mnt.h"

/* What is to be covered, and what it is covered with.  All of them are opened in one go, since each login does it. */
struct masked {
    const struct record *record;
    int top, fd, error;
    const char *path; /* from there */
    struct stat st;   /* of what is there, or of the directory where it cannot be made */
};
enum { AT_ONCE = 64 };
struct batch {
    struct masked list[AT_ONCE];
    size_t count;
};

/* Open it, whatever it is, and make it when it is missing: only what is there can be covered. */
static int open_one(struct masked *masked)
{
    const char *name = masked->path + 1;
    bool deep = strchr(name, '/');
    int parent = deep ? fd_walk_parent(masked->top, masked->path, &name, FD_ANY) : masked->top;
    int fd = parent < 0 ? -1 : openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && parent >= 0 && errno == ENOENT) {
        int file = -1;
        if (masked->record->verb == OP_MASK)
            (void)!mkdirat(parent, name, 0700);
        else
            file = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        int error = errno;
        close(file);
        fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        errno = error;
    }
    int error = errno;
    (void)!fstat(fd >= 0 ? fd : parent, &masked->st);
    if (deep)
        close(parent);
    errno = error;
    return fd;
}

static int open_all(void *with)
{
    struct batch *batch = with;
    bool denied = false;
    for (struct masked *masked = batch->list; masked < batch->list + batch->count; masked++) {
        if (masked->fd >= 0)
            continue;
        masked->fd = open_one(masked);
        masked->error = errno;
        denied = denied || (masked->fd < 0 && errno == EACCES);
    }
    errno = EACCES;
    return denied ? -1 : 0;
}

/* Lay a clone of the mount at the empty directory or file over it, which is as restricted as /run, where that is. */
static void lay(const struct masked *masked, int empty)
{
    int mount = (int)syscall(SYS_open_tree, empty, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (mount < 0)
        refuse("mask", "nothing empty to hide it with", errno);
    mnt_attach(mount, masked->fd);
    close(mount);
}

static void cover_batch(const struct plan *plan, struct batch *batch, int directory, int file)
{
    (void)!as_user(plan, open_all, batch);
    for (struct masked *masked = batch->list; masked < batch->list + batch->count; masked++) {
        bool denied = masked->error == EACCES || masked->error == EPERM;
        if (masked->fd >= 0)
            lay(masked, S_ISDIR(masked->st.st_mode) ? directory : file);
        else if (masked->error != EROFS && !(denied && masked->st.st_uid != plan->uid))
            refuse("mask", masked->record->args[0], masked->error);
        /* else it is not there, and the user cannot make it */
    }
    batch->count = 0;
}

/* The record of the bind that PATH lies below, so that a cover is placed by the bind's own descriptor. */
static size_t bind_above(const struct plan *plan, const int *mounts, const char *path)
{
    for (size_t i = plan->count; i-- > 0;)
        if (plan->records[i].verb == OP_BIND && mounts[i] >= 0 && path_is_below(path, plan->records[i].args[1]))
            return i;
    return plan->count;
}

void cover(const struct plan *plan, const int *mounts, int root)
{
    static struct batch batch; /* takes no memory until it is used */
    int directory = fd_walk(root, "/run/empty", O_PATH, FD_ANY);
    int file = fd_walk(root, "/run/empty-file", O_PATH, FD_ANY);
    for (size_t i = 0; i < plan->count && plan->records[i].verb <= OP_MASK_FILE; i++) {
        const char *path = plan->records[i].args[0];
        if (plan->records[i].verb < OP_MASK)
            continue;
        size_t above = bind_above(plan, mounts, path);
        if (above == plan->count)
            continue; /* nothing of the user's is there */
        struct masked masked = {
            &plan->records[i],      mounts[above], -1, 0, path + strlen(plan->records[above].args[1]),
            { .st_uid = plan->uid }
        };
        batch.list[batch.count++] = masked;
        if (batch.count == AT_ONCE)
            cover_batch(plan, &batch, directory, file);
    }
    cover_batch(plan, &batch, directory, file);
    close(directory);
    close(file);
}
