/* What programs that serve transfers list of "/" is what the jail shows of the host: the image's own directories are
 * there, read-only, and can be named, but clients see a root as people know it from ChrootDirectory. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define EXPORTED __attribute__((visibility("default")))

/* JAILSSH_LISTED: the names, with a slash before and behind each. */
static const char *listed;
static struct stat top;

__attribute__((constructor)) static void read_names(void)
{
    const char *names = getenv("JAILSSH_LISTED");
    if (names && stat("/", &top) == 0)
        listed = names;
}

static bool is_top(DIR *directory)
{
    struct stat st;
    int error = errno;
    bool is = listed && fstat(dirfd(directory), &st) == 0 && st.st_dev == top.st_dev && st.st_ino == top.st_ino;
    errno = error;
    return is;
}

static bool is_hidden(DIR *directory, const char *name)
{
    char between[NAME_MAX + 3] = "/";
    size_t length = strlen(name);
    if (length > NAME_MAX || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || !is_top(directory))
        return false;
    memcpy(between + 1, name, length);
    between[length + 1] = '/';
    return !strstr(listed, between);
}

EXPORTED struct dirent *readdir(DIR *directory)
{
    static struct dirent *(*next)(DIR *);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "readdir");
    struct dirent *entry = next(directory);
    while (entry && is_hidden(directory, entry->d_name))
        entry = next(directory);
    return entry;
}

EXPORTED struct dirent64 *readdir64(DIR *directory)
{
    static struct dirent64 *(*next)(DIR *);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "readdir64");
    struct dirent64 *entry = next(directory);
    while (entry && is_hidden(directory, entry->d_name))
        entry = next(directory);
    return entry;
}
