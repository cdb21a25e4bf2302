/* A repository is made beside its place, under a name that no client can ask for, and moved there when it is whole. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "command/found.h"
#include "commands.h"
#include "place.h"
#include "run.h"
#include "say.h"

#define BEGUN ".new-" /* and DIGITS digits: names that begin with a dot are nobody's to ask for */
enum { DIGITS = 16, OLD = 24 * 60 * 60 };

static bool is_begun(const char *name)
{
    size_t n = strlen(BEGUN);
    return strncmp(name, BEGUN, n) == 0 && strlen(name) == n + DIGITS && strspn(name + n, "0123456789abcdef") == DIGITS;
}

/* Remove what creates that were killed have left here. */
static void clear(int dir)
{
    struct stat st;
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list && fd >= 0)
        close(fd);
    for (struct dirent *entry; list && (entry = readdir(list));)
        if (is_begun(entry->d_name) && fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_mtime + OLD < time(NULL))
            place_remove(dir, entry->d_name);
    if (list)
        closedir(list);
}

struct wanted {
    bool may_exist;
    const char *why; /* what went wrong, and the error, 0 for none */
    int error;
};

static bool fails(struct wanted *wanted, const char *why, int error)
{
    wanted->why = why;
    wanted->error = error;
    return false;
}

static bool fill(struct wanted *wanted, int fd)
{
    static const char *const words[] = { "git", "init", "--bare", "--quiet", "--template=", "--", ".", NULL };
    if (!run_git(fd, words) || found_at(fd, ".") != REPOSITORY)
        return fails(wanted, "git cannot make a repository here", 0);
    if (!place_sync(fd, "HEAD") || !place_sync(fd, "config") || !place_sync(fd, "."))
        return fails(wanted, "cannot be written", errno);
    return true;
}

static bool make(struct wanted *wanted, int dir, const char *name)
{
    char begun[sizeof BEGUN + DIGITS] = BEGUN;
    clear(dir);
    if (!place_random(begun + strlen(BEGUN), DIGITS) || mkdirat(dir, begun, 0777) != 0)
        return fails(wanted, "cannot make a directory", errno);
    int fd = openat(dir, begun, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool made = fd < 0 ? fails(wanted, "cannot open its directory", errno) : fill(wanted, fd);
    if (made && !place_move(dir, begun, dir, name)) {
        int error = errno;
        /* Somebody else was at it too, and is done. */
        made = error == EEXIST && wanted->may_exist && found_at(dir, name) == REPOSITORY;
        if (!made)
            fails(wanted, error == EEXIST ? "exists already" : "cannot be put in place", error == EEXIST ? 0 : error);
        place_remove(dir, begun);
    } else if (made) {
        place_sync(dir, ".");
    } else {
        place_remove(dir, begun);
    }
    if (fd >= 0)
        close(fd);
    return made;
}

/* Go on to REST below DIR; directories that are made on the way go again where nothing comes of it. */
static bool go(struct wanted *wanted, int dir, const char *rest)
{
    char part[COMPONENT_MOST + 1];
    size_t n = strcspn(rest, "/");
    memcpy(part, rest, n);
    part[n] = '\0';
    if (!rest[n])
        return make(wanted, dir, part);
    bool made = false;
    int flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, fd = openat(dir, part, flags);
    if (fd < 0 && errno == ENOENT) {
        made = mkdirat(dir, part, 0777) == 0;
        fd = made || errno == EEXIST ? openat(dir, part, flags) : -1;
    }
    bool done = fd < 0 ? fails(wanted, "cannot make the directory above it", errno) : go(wanted, fd, rest + n + 1);
    if (fd >= 0)
        close(fd);
    if (!done && made)
        unlinkat(dir, part, AT_REMOVEDIR);
    return done;
}

void create(const char *path, bool may_exist)
{
    struct wanted wanted = { .may_exist = may_exist };
    const char *refused = place_refused(path);
    if (refused)
        say_and_end(1, path, refused, 0);
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || !go(&wanted, root, path + 1))
        say_and_end(1, path, wanted.why ? wanted.why : "cannot be created", wanted.why ? wanted.error : errno);
    close(root);
    if (may_exist)
        return;
    say_short(stdout, path);
    fputs(" is created\n", stdout);
}
