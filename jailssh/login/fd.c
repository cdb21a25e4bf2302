#include "fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool only_root_changes(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    if (st.st_uid == 0 && !(st.st_mode & (S_IWGRP | S_IWOTH)))
        return true;
    errno = EPERM;
    return false;
}

/* Open the component [NAME, NAME+N) of DIR and close DIR. */
static int step(int dir, const char *name, size_t n, int flags, enum fd_trust trust)
{
    char part[256];
    int fd = -1;
    if (n >= sizeof part) {
        errno = ENAMETOOLONG;
    } else {
        memcpy(part, name, n);
        part[n] = '\0';
        fd = openat(dir, part, flags | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd >= 0 && trust == FD_ROOT_ONLY && !only_root_changes(fd)) {
        close(fd); /* opened for reading: this leaves errno as it is */
        fd = -1;
    }
    int error = errno;
    close(dir);
    errno = error;
    return fd;
}

int fd_walk_parent(int dir, const char *path, const char **name, enum fd_trust trust)
{
    int at = openat(dir, dir == AT_FDCWD ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    path += strspn(path, "/");
    for (const char *slash; at >= 0 && (slash = strchr(path, '/')); path = slash + 1)
        at = step(at, path, (size_t)(slash - path), O_PATH | O_DIRECTORY, trust);
    *name = *path ? path : ".";
    return at;
}

int fd_walk(int dir, const char *path, int flags, enum fd_trust trust)
{
    const char *name;
    int at = fd_walk_parent(dir, path, &name, trust);
    return at < 0 ? at : step(at, name, strlen(name), flags, trust);
}

char *fd_read_owned(int dir, const char *name, uid_t owner, mode_t forbidden, size_t most, size_t *size)
{
    struct stat st;
    char *data = NULL;
    size_t got = 0;
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0)
        goto out;
    if (st.st_uid != owner || st.st_mode & forbidden) {
        errno = EPERM;
        goto out;
    }
    if (!S_ISREG(st.st_mode) || st.st_nlink > 1 || st.st_size < 1 || (unsigned long)st.st_size > most) {
        errno = EINVAL;
        goto out;
    }
    data = malloc((size_t)st.st_size + 1);
    while (data && got < (size_t)st.st_size) {
        ssize_t n = read(fd, data + got, (size_t)st.st_size - got);
        if (n <= 0) {
            errno = n ? errno : EINVAL;
            free(data);
            data = NULL;
        } else {
            got += (size_t)n;
            data[got] = '\0';
        }
    }
out:
    *size = got;
    int error = errno;
    close(fd);
    errno = error;
    return data;
}

bool fd_write_new(int dir, const char *name, const char *content)
{
    size_t size = strlen(content);
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool done = fd >= 0 && write(fd, content, size) == (ssize_t)size && fchmod(fd, 0644) == 0;
    if (fd >= 0)
        close(fd);
    return done;
}

static int open_beneath(int root, const char *rest)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    int fd = (int)syscall(SYS_openat2, root, rest, &how, sizeof how);
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) /* EPERM: a container's filter, the old way is stricter */
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

bool fd_stays_below(const char *root, const char *path)
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

/* Before Linux 5.9.  RLIMIT_NOFILE is no bound: it may have been lowered after the descriptors were opened. */
static bool close_all_from(int first)
{
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return false;
    for (struct dirent *entry; (entry = readdir(dir));) {
        int fd = atoi(entry->d_name);
        if (fd >= first && fd != dirfd(dir))
            close(fd);
    }
    return closedir(dir) == 0;
}

bool fd_sanitise(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR | O_NOCTTY) != fd)
            return false;
    return syscall(SYS_close_range, 3u, ~0u, 0u) == 0 || close_all_from(3);
}
