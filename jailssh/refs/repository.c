#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../login/command/like.h"
#include "repository.h"

/* True if PATH may be what git opens by this name: as the login program has it, or wider. */
static bool is_taken(const char *path)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return errno != ENOENT;
    bool taken = fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode) || faccessat(fd, "HEAD", F_OK, 0) == 0 ||
                 faccessat(fd, ".git", F_OK, 0) == 0;
    close(fd);
    return taken;
}

bool repository_is_named(struct repository *repository, const char *path)
{
    size_t n = strnlen(path, REPOSITORY_MOST);
    if (n == REPOSITORY_MOST || *path != '/')
        return false;
    memcpy(repository->path, path, n + 1);
    repository->length[0] = n;
    repository->named = repository->giving = 1;
    if (n <= 5 || strcmp(path + n - 4, ".git") != 0 || path[n - 5] == '/')
        return true;
    repository->path[n - 4] = '\0';
    repository->length[repository->named++] = n - 4;
    repository->giving += !is_taken(repository->path);
    repository->path[n - 4] = '.';
    return true;
}

bool repository_is_meant(const struct repository *repository, size_t names, const char *pattern)
{
    for (size_t i = 0; *pattern == '/' && i < names; i++)
        if (like_fits(pattern + 1, repository->path + 1, repository->length[i] - 1))
            return true;
    return false;
}
