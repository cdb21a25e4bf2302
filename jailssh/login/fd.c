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

/* All of [PATH, PATH+N) with one call that follows no symbolic link; -1 with ENOSYS where the kernel, or EPERM where a
 * container's filter does not have it. */
static int open_at_once(int dir, const char *path, size_t n, int flags)
{
    struct open_how how = { .flags = (unsigned)(flags | O_NOFOLLOW | O_CLOEXEC), .resolve = RESOLVE_NO_SYMLINKS };
    char part[PATH_MAX];
    if (dir != AT_FDCWD)
        for (; n > 0 && *path == '/'; n--)
            path++;
    if (n >= sizeof part) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(part, path, n);
    part[n] = '\0';
    return (int)syscall(SYS_openat2, dir, n > 0 ? part : dir == AT_FDCWD ? "/" : ".", &how, sizeof how);
}

bool fd_call_is_missing(int error)
{
    return error == ENOSYS || error == EPERM;
}

int fd_walk_parent(int dir, const char *path, const char **name, enum fd_trust trust)
{
    const char *last = strrchr(path, '/');
    *name = last ? last + 1 : path;
    *name = **name ? *name : ".";
    if (trust == FD_ANY) {
        int fd = open_at_once(dir, path, last ? (size_t)(last - path) : 0, O_PATH | O_DIRECTORY);
        if (fd >= 0 || !fd_call_is_missing(errno))
            return fd;
    }
    int at = openat(dir, dir == AT_FDCWD ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    path += strspn(path, "/");
    for (const char *slash; at >= 0 && (slash = strchr(path, '/')); path = slash + 1)
        at = step(at, path, (size_t)(slash - path), O_PATH | O_DIRECTORY, trust);
    return at;
}

int fd_walk(int dir, const char *path, int flags, enum fd_trust trust)
{
    const char *name;
    if (trust == FD_ANY) {
        int fd = open_at_once(dir, path, strlen(path), flags);
        if (fd >= 0 || !fd_call_is_missing(errno))
            return fd;
    }
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

char *fd_read_roots(const char *folder, const char *name, size_t most, size_t *size, bool *found)
{
    int dir = fd_walk(AT_FDCWD, folder, O_PATH | O_DIRECTORY, FD_ROOT_ONLY);
    *found = dir >= 0;
    char *data = dir < 0 ? NULL : fd_read_owned(dir, name, 0, S_IWGRP | S_IWOTH, most, size);
    int error = errno;
    if (dir >= 0)
        close(dir);
    errno = error;
    return data;
}

bool fd_write_new(int dir, const char *name, const char *content)
{
    size_t size = strlen(content);
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    bool done = fd >= 0 && write(fd, content, size) == (ssize_t)size;
    if (fd >= 0)
        close(fd);
    return done;
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

int fd_keep_only(int fd)
{
    enum { KEPT = 3, MOST = 1024 }; /* MOST: the limit that creds_sanitise() sets */
    if (fd != KEPT && dup3(fd, KEPT, O_CLOEXEC) != KEPT)
        return -1;
    if (syscall(SYS_close_range, KEPT + 1u, ~0u, 0u) != 0)
        for (int other = KEPT + 1; other < MOST; other++)
            close(other);
    return KEPT;
}
