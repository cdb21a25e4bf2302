#include "overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "about.h"
#include "fail.h"
#include "fd.h"
#include "mnt.h"

enum { LONGEST = 4096, NAME = 64, DETACH = 2 }; /* DETACH: of <sys/mount.h> */

bool overlay_is_wanted(const struct plan *plan)
{
    return plan_first(plan, OP_LAYER) || plan_first(plan, OP_WRITTEN) || plan_first(plan, OP_EPHEMERAL);
}

static int open_directory(const char *path)
{
    int fd = fd_walk(AT_FDCWD, path, O_PATH | O_DIRECTORY, FD_ANY);
    if (fd < 0)
        refuse(R_IMAGE, path, errno);
    return fd;
}

/* Where it is written to, or -1.  A new tmpfs is attached over the root of this namespace, since the kernel takes no
 * detached mount; the overlay keeps it when it is detached again. */
static int open_store(const struct plan *plan)
{
    char *const *size = plan_first(plan, OP_EPHEMERAL), *const *written = plan_first(plan, OP_WRITTEN);
    if (written)
        return open_directory(written[0]);
    if (!size)
        return -1;
    const char *const options[][2] = { { "size", size[0] }, { "mode", "0755" }, { "nr_inodes", "1m" }, { NULL } };
    int store = mnt_new("tmpfs", options, mnt_attributes(true, true));
    mnt_attach(store, openat(AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    return store;
}

/* The path by descriptor of a directory NAME in STORE, which is made if it is missing.  A link would lead elsewhere. */
static void path_in(int store, const char *name, char path[NAME])
{
    umask(022);
    if (mkdirat(store, name, 0755) != 0 && errno != EEXIST)
        refuse(R_IMAGE, "cannot make directories for what is written", errno);
    umask(077);
    int fd = fd_walk(store, name, O_PATH | O_DIRECTORY, FD_ANY);
    if (fd < 0)
        refuse(R_IMAGE, name, errno);
    snprintf(path, NAME, "/proc/self/fd/%d", fd);
}

int overlay_mount(const struct plan *plan, int tree, unsigned long attr)
{
    char lower[LONGEST], upper[NAME], work[NAME];
    const char *options[5][2] = { { "lowerdir", lower } };
    size_t n = (size_t)snprintf(lower, sizeof lower, "/proc/self/fd/%d", tree), next = 1;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->records[i].verb == OP_LAYER && n < sizeof lower)
            n += (size_t)snprintf(lower + n, sizeof lower - n, ":/proc/self/fd/%d",
                                  open_directory(plan->records[i].args[0]));
    if (n >= sizeof lower)
        refuse(R_IMAGE, "too many layers", 0);
    int store = open_store(plan);
    about(plan_first(plan, OP_WRITTEN) ? plan_first(plan, OP_WRITTEN)[0] : "");
    if (store >= 0) {
        path_in(store, "upper", upper);
        path_in(store, "work", work);
        options[next][0] = "upperdir";
        options[next++][1] = upper;
        options[next][0] = "workdir";
        options[next++][1] = work;
    }
    if (plan_first(plan, OP_NEW_USERS)) {
        options[next][0] = "userxattr";
        options[next++][1] = NULL;
    }
    options[next][0] = NULL;
    int mount = mnt_new("overlay", options, attr);
    if (plan_first(plan, OP_EPHEMERAL) && (fchdir(store) != 0 || syscall(SYS_umount2, ".", DETACH) != 0))
        refuse(R_MOUNT, "cannot leave the layer that is written to", errno);
    about("");
    close(tree);
    return mount;
}
