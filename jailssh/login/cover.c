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

/* What is to be covered, and what it is covered with.  Several in one go, since each login does it. */
struct masked {
    const struct record *record;
    int top, fd, cover, error;
    const char *path; /* from there */
    uid_t owner;      /* of the directory, where it is not there */
    bool done;
};
enum { AT_ONCE = 16 };
struct batch {
    const struct empty *empty;
    struct masked list[AT_ONCE];
    size_t count;
};

/* A clone of the mount at the empty directory or file, which is as restricted, or -1 with errno. */
static int clone_of(const struct empty *empty, bool directory)
{
    int from = directory ? empty->directory : empty->file;
    return (int)syscall(SYS_open_tree, from, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
}

/* What is usual: it is directly in the home, and is what the plan takes it for.  The kernel looks the name up as the
 * user, follows no link, and lays the cover on what it has found, all in one call. */
static bool cover_at_once(struct masked *masked, const struct empty *empty)
{
    const char *name = masked->path + 1;
    masked->cover = strchr(name, '/') ? -1 : clone_of(empty, masked->record->verb == OP_MASK);
    if (masked->cover < 0)
        return false;
    if (syscall(SYS_move_mount, masked->cover, "", masked->top, name, MOVE_MOUNT_F_EMPTY_PATH) == 0)
        return true;
    close(masked->cover);
    return false;
}

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
    struct stat st;
    if (fd < 0 && parent >= 0 && fstat(parent, &st) == 0)
        masked->owner = st.st_uid;
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
        masked->done = masked->done || (masked->fd < 0 && cover_at_once(masked, batch->empty));
        if (masked->done || masked->fd >= 0)
            continue;
        masked->fd = open_one(masked);
        masked->error = errno;
        denied = denied || (masked->fd < 0 && errno == EACCES);
    }
    errno = EACCES;
    return denied ? -1 : 0;
}

/* Lay a cover over what was opened.  False where one is a directory and one is not. */
static bool lay(struct masked *masked, const struct empty *empty, bool directory)
{
    masked->cover = clone_of(empty, directory);
    if (masked->cover < 0)
        refuse(R_MASK, "cannot clone the cover", errno);
    if (mnt_try_attach(masked->cover, masked->fd))
        return true;
    int error = errno;
    close(masked->cover);
    errno = error;
    return false;
}

/* The descriptors are closed with all others when the jail is built. */
static void cover_batch(const struct plan *plan, struct batch *batch)
{
    (void)!as_user(plan, open_all, batch);
    for (struct masked *masked = batch->list; masked < batch->list + batch->count; masked++) {
        bool denied = masked->error == EACCES || masked->error == EPERM;
        bool directory = masked->record->verb == OP_MASK; /* most likely */
        if (masked->done)
            continue;
        if (masked->fd < 0 && masked->error != EROFS && !(denied && masked->owner != plan->uid))
            refuse(R_MASK, masked->record->args[0], masked->error);
        /* else it is not there, and the user cannot make it */
        if (masked->fd >= 0 && !lay(masked, batch->empty, directory) && !lay(masked, batch->empty, !directory))
            refuse(R_MOUNT, "cannot attach a mount", errno);
    }
}

static void forget(struct batch *batch)
{
    for (struct masked *masked = batch->list; masked < batch->list + batch->count; masked++) {
        close(masked->fd);
        close(masked->cover);
    }
    batch->count = 0;
}

struct empty cover_open_empty(const struct plan *plan, int root)
{
    struct empty empty = { -1, -1 };
    if (plan_first(plan, OP_MASK) || plan_first(plan, OP_MASK_FILE) || plan_first(plan, OP_PROC_FILE)) {
        empty.directory = fd_walk(root, EMPTY_DIRECTORY, O_PATH, FD_ANY);
        empty.file = fd_walk(root, EMPTY_FILE, O_PATH, FD_ANY);
    }
    return empty;
}

/* The record of the bind that PATH lies below, so that a cover is placed by the bind's own descriptor. */
static size_t bind_above(const struct plan *plan, const int *mounts, const char *path)
{
    for (size_t i = plan->count; i-- > 0;)
        if (plan->records[i].verb == OP_BIND && mounts[i] >= 0 && path_is_below(path, plan->records[i].args[1]))
            return i;
    return plan->count;
}

void cover(const struct plan *plan, const int *mounts, const struct empty *empty)
{
    struct batch batch = { .empty = empty };
    for (size_t i = 0; i < plan->count && plan->records[i].verb <= OP_MASK_FILE; i++) {
        const char *path = plan->records[i].args[0];
        if (plan->records[i].verb < OP_MASK)
            continue;
        size_t above = bind_above(plan, mounts, path);
        if (above == plan->count)
            continue; /* nothing of the user's is there */
        if (batch.count == AT_ONCE) {
            cover_batch(plan, &batch);
            forget(&batch);
        }
        const char *below = path + strlen(plan->records[above].args[1]);
        batch.list[batch.count++] =
            (struct masked){ &plan->records[i], mounts[above], -1, -1, 0, below, plan->uid, false };
    }
    if (batch.count > 0)
        cover_batch(plan, &batch);
}
