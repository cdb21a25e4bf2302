#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../login/command/like.h"
#include "name.h"
#include "rights.h"

enum { PATH_MOST = 4096 };

static const struct {
    const char *word;
    unsigned acts;
    bool denies;
} words[] = {
    { "push", ACT_PUSH, false },     { "rewind", ACT_PUSH | ACT_REWIND, false },
    { "create", ACT_CREATE, false }, { "delete", ACT_DELETE, false },
    { "deny", ACT_ANY, true },
};

/* A repository's path, and how much of it are the names by which a pattern may mean it.  The shorter one gives no right
 * where another repository has it; that its lines rule, and deny, does not depend on what somebody may make there. */
struct repository {
    char path[PATH_MOST];
    size_t length[2], named, giving;
};

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

static bool is_named(struct repository *repository, const char *path)
{
    size_t n = strnlen(path, PATH_MOST);
    if (n == PATH_MOST || *path != '/')
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

static bool is_meant(const struct repository *repository, size_t names, const char *pattern)
{
    for (size_t i = 0; *pattern == '/' && i < names; i++)
        if (like_fits(pattern + 1, repository->path + 1, repository->length[i] - 1))
            return true;
    return false;
}

static bool add(struct rights *rights, const char *word, const char *ref)
{
    enum { AT_ONCE = 256 };
    if (rights->count % AT_ONCE == 0) {
        void *more = realloc(rights->list, (rights->count + AT_ONCE) * sizeof *rights->list);
        if (!more)
            return false;
        rights->list = more;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i].word) == 0) {
            rights->list[rights->count++] = (struct right){ ref, words[i].acts, words[i].denies };
            return true;
        }
    return false;
}

static bool take(struct rights *rights, const struct repository *repository, char *text)
{
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
        char *word = strsep(&line, " "), *pattern = strsep(&line, " ");
        bool ruled = strcmp(word, "ruled") == 0;
        if (!pattern || (!ruled && !line))
            return false;
        if (!is_meant(repository, repository->named, pattern))
            continue;
        rights->ruled = true;
        size_t names = strcmp(word, "deny") == 0 ? repository->named : repository->giving;
        if (!ruled && is_meant(repository, names, pattern) && !add(rights, word, line))
            return false;
    }
    return true;
}

const char *rights_read(struct rights *rights)
{
    struct repository repository = { .named = 0 };
    const char *path = getenv("JAILSSH_REPOSITORY");
    *rights = (struct rights){ .count = 0 };
    if (!path || !is_named(&repository, path))
        return "the plan does not say which repository this is";
    for (unsigned i = 0;; i++) {
        char name[32];
        snprintf(name, sizeof name, "JAILSSH_REFS_%u", i);
        const char *text = getenv(name);
        if (!text)
            return i > 0 ? NULL : "the plan has no rights to references";
        char *copy = strdup(text);
        if (!copy || (*copy && !take(rights, &repository, copy)))
            return "the rights to references in the plan cannot be read";
    }
}

bool rights_give(const struct rights *rights, enum act act, const char *name)
{
    char text[NAME_MOST + 2] = "/";
    size_t n = strnlen(name, NAME_MOST);
    if (!rights->ruled)
        return true;
    memcpy(text + 1, name, n);
    for (size_t i = 0; i < rights->count; i++) {
        const struct right *right = &rights->list[i];
        if ((right->acts & act) && like_fits(right->ref, text + 1, n))
            return !right->denies;
    }
    return false;
}
