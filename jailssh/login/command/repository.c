/* Repositories: the one name under which git opens what was asked for, and the rule's patterns.  Runs after the drop.
 *
 * git (enter_repo() in its path.c) looks for NAME/.git, NAME, NAME.git/.git, NAME.git and opens the first that is a git
 * directory.  What it would open is found here in the same order, and goes on under the name that is then judged. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "found.h"
#include "like.h"
#include "path.h"
#include "repository.h"

enum { SUFFIX = 4 /* ".git" */ };

/* A path with ".git" behind it, and how much of it are the spellings to be tried, the shortest first. */
struct name {
    struct path path;
    size_t length[3];
    size_t count;
};

static bool ends_in_git(const char *text, size_t n)
{
    return n > SUFFIX && text[n - SUFFIX - 1] != '/' && memcmp(text + n - SUFFIX, ".git", SUFFIX) == 0;
}

/* True if a pattern of the rule, where it has any, fits one of the name's spellings. */
static bool is_like(const struct matching *m, const struct name *name)
{
    size_t at = m->rule;
    bool any = false;
    for (char *const *like; (like = rule_next(m->plan, OP_LIKE, &at)); any = true) {
        const char *pattern = like[0];
        size_t same = 1;
        while (pattern[same] == name->path.text[same] && pattern[same] != '*' && same < name->length[0])
            same++;
        if (same < name->length[0] && pattern[same] != '*')
            continue; /* no spelling fits: they differ behind the shortest */
        for (size_t i = 0; i < name->count; i++)
            if (like_fits(pattern + 1, name->path.text + 1, name->length[i] - 1))
                return true;
    }
    return !any;
}

/* True if no component is ".git" and none below the root, which ends at N, begins with a dot or a dash. */
static bool is_plain(const char *path, size_t n)
{
    for (const char *part = path; *part; part += strcspn(part, "/")) {
        part++;
        bool below = (size_t)(part - path) > n;
        if ((below && (*part == '.' || *part == '-')) || (strncmp(part, ".git", 4) == 0 && strchr("/", part[4])))
            return false;
    }
    return true;
}

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 || errno != ENOENT;
}

/* Replace PATH by what it is called below ROOT without symbolic links, as far as it exists.  False: it leads out of
 * the root, or nowhere. */
static bool resolve(const char *root, struct path *path)
{
    char real_root[PATH_MAX], real[PATH_MAX];
    struct path there = *path, result = { .length = 0 };
    if (!realpath(root, real_root))
        return false;
    while (!realpath(there.length ? there.text : "/", real)) {
        const char *slash = strrchr(there.text, '/');
        if (!slash || is_there(there.text))
            return false; /* a link to nothing, a loop, a file for a directory, a directory that is closed to us */
        path_cut(&there, (size_t)(slash - there.text));
    }
    if (!path_is_below(real, real_root))
        return false;
    const char *below = real_root[1] ? real + strlen(real_root) : real;
    bool fits = path_append(&result, root[1] ? root : "") && path_append(&result, below[0] && below[1] ? below : "") &&
                path_append(&result, path->text + there.length);
    *path = result;
    return fits && result.length > 0 && result.length < PATH_MAX - SUFFIX;
}

/* True if a directory from the root on, above PATH, is a repository itself: what is in one is no repository, but
 * what somebody pushed or checked out there, or has a name that git may want. */
static bool is_within_another(const char *root, const struct path *path)
{
    for (size_t n = root[1] ? strlen(root) : 0; path->text[n]; n += 1 + strcspn(path->text + n + 1, "/")) {
        struct path above = *path;
        path_cut(&above, n);
        if (found_at(AT_FDCWD, n ? above.text : "/") != NOTHING)
            return true;
    }
    return false;
}

/* Find what git opens.  NAME ends with the spellings under which a pattern may mean it: its own, and the one without
 * ".git" if git, asked for that, would open this too.  Returns the reason why there is none, or R_NONE. */
static enum reason find_repository(const char *root, struct name *name)
{
    struct path *path = &name->path;
    enum found found = found_at(AT_FDCWD, path->text);
    if (found == NOTHING && path_append(path, ".git"))
        found = found_at(AT_FDCWD, path->text);
    if (found != REPOSITORY || !path_is_below(path->text, root))
        return R_NO_REPOSITORY;
    if (!resolve(root, path))
        return R_REPOSITORY_LEAVES_ROOT;
    name->length[0] = path->length;
    name->count = 1;
    if (ends_in_git(path->text, path->length)) {
        struct path shorter = *path;
        path_cut(&shorter, path->length - SUFFIX);
        if (found_at(AT_FDCWD, shorter.text) == NOTHING) {
            name->length[0] = shorter.length;
            name->length[name->count++] = path->length;
        }
    }
    return R_NONE;
}

/* The same where nothing may be: NAME, which ends in ".git", and what it is without that. */
static enum reason find_room(const char *root, struct name *name)
{
    struct path *path = &name->path;
    if (!resolve(root, path))
        return R_REPOSITORY_LEAVES_ROOT;
    if (!ends_in_git(path->text, path->length) || is_there(path->text))
        return R_REPOSITORY_EXISTS; /* under the name of what a link leads to, which may have any */
    struct path shorter = *path;
    path_cut(&shorter, path->length - SUFFIX);
    name->length[0] = shorter.length;
    name->length[1] = path->length;
    name->count = 2;
    return is_there(shorter.text) ? R_REPOSITORY_EXISTS : R_NONE;
}

/* The spellings that the text of NAME may mean, when nobody looks; the longest is left in it. */
static void spell(struct name *name, bool new)
{
    size_t n = name->path.length;
    name->count = 0;
    if (ends_in_git(name->path.text, n))
        name->length[name->count++] = n - SUFFIX;
    name->length[name->count++] = n;
    if (new && name->count == 2)
        return;
    if (path_append(&name->path, ".git"))
        name->length[name->count++] = n + SUFFIX;
}

/* Judge NAME below ROOT; what is executed is left in its text.  Returns the reason of a denial or R_NONE. */
static enum reason judge(const struct matching *m, const char *root, bool new, struct name *name)
{
    struct path *path = &name->path;
    size_t above = root[1] ? strlen(root) : 0, n = path->length;
    if (!is_plain(path->text, above) || path->text[1] == '\0')
        return R_REPOSITORY_NAME;
    spell(name, new);
    bool like = is_like(m, name);
    if (!new)
        path_cut(path, n);
    if (!like || !path_is_below(path->text, root))
        return R_REPOSITORY_OUTSIDE;
    if (new &&ends_in_git(path->text, name->length[0]))
        return R_REPOSITORY_NAME; /* a.git.git */
    if (!m->inside)
        return R_NONE;
    enum reason reason = new ? find_room(root, name) : find_repository(root, name);
    if (reason)
        return reason;
    if (!is_plain(path->text, above) || is_within_another(root, path))
        return R_REPOSITORY_NAME;
    return is_like(m, name) ? R_NONE : R_REPOSITORY_OUTSIDE;
}

bool repository_fits(struct matching *m, const struct value *value, bool new, const char **replacement)
{
    struct name name = { .count = 0 };
    char *full, *clean = value_path(m, value, &full);
    if (!clean)
        return false;
    if (strlen(clean) >= PATH_MAX - SUFFIX)
        return no_fit(m, R_PATH_TOO_LONG, "path", "");
    enum reason reason = R_REPOSITORY_OUTSIDE;
    size_t at = m->rule;
    for (char *const *root; reason && (root = rule_next(m->plan, OP_BELOW, &at));) {
        if (!path_is_below(clean, root[0]))
            continue;
        path_cut(&name.path, 0);
        reason = path_append(&name.path, clean) ? judge(m, root[0], new, &name) : R_REPOSITORY_NO_MEMORY;
    }
    char *path = reason ? NULL : strdup(name.path.text);
    if (!path)
        return no_fit(m, reason ? reason : R_REPOSITORY_NO_MEMORY, "repository", value->text);
    *replacement = path;
    if (!m->out->path)
        m->out->path = path;
    return true;
}
