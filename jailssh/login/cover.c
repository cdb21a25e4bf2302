#include "cover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "asuser.h"
#include "fail.h"
#include "fd.h"
#include "mnt.h"

/* A mount of something empty: a directory or a file. */
static int empty(int root, bool directory)
{
    int fd = fd_walk(root, directory ? "/run/empty" : "/run/empty-file", O_PATH, FD_ANY);
    int mount = fd < 0 ? -1 : mnt_detach(fd, false, false);
    if (mount < 0)
        refuse("mask", "nothing empty to hide it with", errno);
    close(fd);
    return mount;
}

struct masked {
    int top;
    const char *path; /* from there */
    bool directory;   /* what to make where nothing is */
    struct stat st;   /* of what is there, or of the directory where it cannot be made */
};

/* Open what is to be covered, whatever it is, and make it when it is missing: only what is there can be covered. */
static int open_masked(void *with)
{
    struct masked *masked = with;
    const char *name;
    int parent = fd_walk_parent(masked->top, masked->path, &name, FD_ANY), file = -1;
    int fd = parent < 0 ? -1 : openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && parent >= 0 && errno == ENOENT) {
        if (masked->directory)
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
    close(parent);
    errno = error;
    return fd;
}

void cover(const struct plan *plan, size_t record, int top, const char *path, int root)
{
    bool directory = plan->records[record].verb == OP_MASK;
    struct masked masked = { top, path, directory, { .st_uid = plan->uid } };
    int fd = as_user(plan, open_masked, &masked);
    if (fd < 0 && (errno == EROFS || ((errno == EACCES || errno == EPERM) && masked.st.st_uid != plan->uid)))
        return; /* not there, and the user cannot make it */
    if (fd < 0)
        refuse("mask", plan->records[record].args[0], errno);
    int mount = empty(root, S_ISDIR(masked.st.st_mode));
    mnt_attach(mount, fd); /* as restricted as /run, which it is cloned from */
    close(mount);
}
