/* Whether there is a repository, as git sees it (enter_repo() in its path.c).  Runs after the drop. */
#include "found.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* git's validate_headref(): a name below refs/, or an object's. */
static bool is_head(int dir, const char *name)
{
    char text[256] = "";
    if (readlinkat(dir, name, text, sizeof text - 1) >= 5 && memcmp(text, "refs/", 5) == 0)
        return true;
    int fd = openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return false;
    text[n] = '\0';
    const char *ref = text + 4;
    if (strncmp(text, "ref:", 4) != 0)
        return strspn(text, "0123456789abcdefABCDEF") >= 40;
    ref += strspn(ref, " \t\n\r");
    return strncmp(ref, "refs/", 5) == 0;
}

static enum found git_directory(int dir, const char *name)
{
    struct stat st;
    if (fstatat(dir, name, &st, 0) != 0)
        return NOTHING;
    if (S_ISREG(st.st_mode))
        return ELSEWHERE;
    int fd = openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    enum found found = NOTHING;
    if (fd >= 0 && is_head(fd, "HEAD")) {
        if (faccessat(fd, "commondir", F_OK, 0) == 0)
            found = ELSEWHERE;
        else if (faccessat(fd, "objects", X_OK, 0) == 0 && faccessat(fd, "refs", X_OK, 0) == 0)
            found = REPOSITORY;
    }
    if (fd >= 0)
        close(fd);
    return found;
}

enum found found_at(int dir, const char *path)
{
    struct stat st;
    int fd = openat(dir, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return git_directory(dir, path);
    enum found found = git_directory(fd, ".git");
    if (found == NOTHING)
        found = git_directory(fd, ".");
    else if (found == REPOSITORY && (fstatat(fd, ".git", &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode)))
        found = ELSEWHERE;
    close(fd);
    return found;
}
