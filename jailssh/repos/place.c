#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "command/found.h"
#include "fd.h"
#include "place.h"
#include "readable.h"
#include "say.h"

enum { WITHOUT_REPLACING = 1 /* RENAME_NOREPLACE, linux/fs.h */, DEPTH_MOST = 16 };

/* How much of PATH is a directory of repositories, which the administrator has named. */
static size_t root_of(const char *path)
{
    size_t most = 0;
    const char *roots = getenv("JAILSSH_ROOTS");
    for (size_t n; roots && *roots; roots += n + (roots[n] == '\n')) {
        n = strcspn(roots, "\n");
        if (n > most && strncmp(path, roots, n) == 0 && path[n] == '/')
            most = n;
    }
    return most;
}

const char *place_refused(const char *path)
{
    size_t count = 0, root = root_of(path);
    if (*path != '/')
        return "the name is not a path";
    for (const char *at = path; *at; at++)
        if (readable(at) == 0 && ((unsigned char)*at < 0x80 || ((unsigned char)*at & 0xc0) != 0x80))
            return "the name has characters that cannot be shown";
    for (const char *part = path; *part; part += strcspn(part, "/")) {
        part++;
        size_t n = strcspn(part, "/");
        if (n == 0 || ((size_t)(part - path) > root && (*part == '.' || *part == '-')))
            return "a part of the name is empty, or begins with '.' or '-'";
        if (n > COMPONENT_MOST || ++count > COMPONENTS_MOST)
            return "the name is too long";
    }
    return NULL;
}

int place_above(const char *path, const char **name)
{
    int dir = fd_walk_parent(AT_FDCWD, path, name, FD_ANY);
    if (dir < 0)
        say_and_end(1, path, "cannot open the directory above it", errno);
    return dir;
}

int place_git_directory(const char *path)
{
    int fd = fd_walk(AT_FDCWD, path, O_PATH | O_DIRECTORY, FD_ANY);
    if (fd < 0)
        say_and_end(1, path, "cannot open it", errno);
    int inner = openat(fd, ".git", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (inner >= 0 && found_at(inner, ".") == REPOSITORY) {
        close(fd);
        return inner;
    }
    if (inner >= 0)
        close(inner);
    if (found_at(fd, ".") != REPOSITORY)
        say_and_end(1, path, "is not a repository", 0);
    return fd;
}

bool place_move(int from, const char *a, int to, const char *b)
{
    struct stat st;
    if (syscall(SYS_renameat2, from, a, to, b, WITHOUT_REPLACING) == 0)
        return true;
    if (errno != EINVAL && !fd_call_is_missing(errno))
        return false;
    /* The file system, or the kernel, cannot.  A directory then replaces an empty directory at most. */
    if (fstatat(to, b, &st, AT_SYMLINK_NOFOLLOW) == 0)
        errno = EEXIST;
    else if (errno == ENOENT)
        return renameat(from, a, to, b) == 0;
    return false;
}

bool place_random(char *text, size_t n)
{
    unsigned char byte;
    for (size_t i = 0; i < n; i++) {
        if (getrandom(&byte, 1, 0) != 1)
            return false;
        text[i] = "0123456789abcdef"[byte & 15];
    }
    text[n] = '\0';
    return true;
}

static void remove_below(int dir, const char *name, int depth)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list && fd >= 0)
        close(fd);
    for (struct dirent *entry; list && depth > 0 && (entry = readdir(list));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(list), entry->d_name, 0) != 0)
            remove_below(dirfd(list), entry->d_name, depth - 1);
    }
    if (list)
        closedir(list);
    unlinkat(dir, name, AT_REMOVEDIR);
}

void place_remove(int dir, const char *name)
{
    remove_below(dir, name, DEPTH_MOST);
}

bool place_sync(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES;
    bool done = fsync(fd) == 0 || errno == EINVAL; /* the file system has none for this */
    close(fd);
    return done;
}
