/* Where the symbolic links of a path lead.  Runs after the drop. */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fd.h"

static int open_beneath(int root, const char *rest)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    int fd = (int)syscall(SYS_openat2, root, rest, &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) /* the old way is stricter */
        return fd;
    fd = fd_walk(root, rest, O_PATH, FD_ANY);
    struct stat st;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode)) {
        close(fd);
        errno = ELOOP;
        return -1;
    }
    return fd;
}

bool path_stays_below(const char *root, const char *path)
{
    char rest[PATH_MAX];
    if (root[1] == '\0')
        return true; /* absolute links stay below / too */
    int fd, base = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (base < 0)
        return errno == ENOENT; /* nothing there to leave */
    const char *below_root = path + strlen(root);
    below_root += *below_root == '/';
    memcpy(rest, below_root, strlen(below_root) + 1); /* the caller has checked the length */
    while ((fd = open_beneath(base, *rest ? rest : ".")) < 0 && errno == ENOENT) {
        char *slash = strrchr(rest, '/');
        if (!slash)
            break;
        *slash = '\0';
    }
    bool below = fd >= 0 || errno == ENOENT || errno == ENOTDIR || errno == EACCES;
    if (fd >= 0)
        close(fd);
    close(base);
    return below;
}
