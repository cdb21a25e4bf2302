#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "name.h"

static bool ends(const char *part, size_t n, const char *end)
{
    size_t length = strlen(end);
    return n >= length && memcmp(part + n - length, end, length) == 0;
}

bool name_is_good(const char *name)
{
    size_t length = strnlen(name, NAME_MOST + 1);
    if (length > NAME_MOST || strncmp(name, "refs/", 5) != 0 || strstr(name, "..") || strstr(name, "@{"))
        return false;
    for (const char *at = name; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f || strchr("~^:?*[\\", *at))
            return false;
    for (const char *part = name;; part++) {
        size_t n = strcspn(part, "/");
        if (n == 0 || *part == '.' || ends(part, n, ".lock"))
            return false;
        part += n;
        if (!*part)
            return part[-1] != '.';
    }
}

enum points name_points(const char *name, char *target)
{
    struct stat st;
    if (lstat(name, &st) != 0) /* packed, or not there at all */
        return errno == ENOENT || errno == ENOTDIR ? POINTS_NOWHERE : POINTS_UNKNOWN;
    if (S_ISDIR(st.st_mode))
        return POINTS_NOWHERE;
    int fd = S_ISREG(st.st_mode) ? open(name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
    ssize_t n = fd < 0 ? -1 : read(fd, target, NAME_MOST);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return POINTS_UNKNOWN;
    target[n] = '\0';
    if (strncmp(target, "ref:", 4) != 0)
        return POINTS_NOWHERE;
    char *begin = target + 4 + strspn(target + 4, " \t\n\r");
    size_t length = strcspn(begin, " \t\n\r");
    if (n == NAME_MOST || begin[length + strspn(begin + length, " \t\n\r")])
        return POINTS_UNKNOWN;
    memmove(target, begin, length);
    target[length] = '\0';
    return name_is_good(target) ? POINTS_ELSEWHERE : POINTS_UNKNOWN;
}
