/* Which repositories there are for who asks: those that the jail shows, as far as a right of the plan's fits. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command/found.h"
#include "command/like.h"
#include "commands.h"
#include "place.h"
#include "say.h"

enum { SUFFIX = 4 /* ".git" */, AT_ONCE = 256 };

enum level { NONE, READ, WRITE, CREATE };

static const char *const words[] = { [READ] = "read", [WRITE] = "write", [CREATE] = "create" };

struct right {
    const char *pattern;
    enum level level;
};

struct seen {
    char *path;
    size_t left_out; /* of it where its name is shown */
    enum level level;
};

static struct {
    struct right *list;
    size_t count;
} rights;

static struct {
    struct seen *list;
    size_t count;
    bool cut; /* something could not be looked at */
} seen;

static noreturn void fail(const char *why)
{
    fprintf(stderr, "jailssh: %s\n", why);
    exit(EXIT_FAILURE);
}

static void *grown(void *list, size_t count, size_t size)
{
    if (count % AT_ONCE == 0 && !(list = realloc(list, (count + AT_ONCE) * size)))
        fail("there is no memory");
    return list;
}

static void add_right(char *line)
{
    char *word = strsep(&line, " ");
    enum level level = CREATE;
    while (level > NONE && strcmp(word, words[level]) != 0)
        level--;
    if (level == NONE || !line || *line != '/')
        fail("the rights in the plan cannot be read");
    rights.list = grown(rights.list, rights.count, sizeof *rights.list);
    rights.list[rights.count++] = (struct right){ line, level };
}

static void read_rights(void)
{
    char name[32];
    for (unsigned i = 0;; i++) {
        snprintf(name, sizeof name, "JAILSSH_RIGHTS_%u", i);
        const char *text = getenv(name);
        if (!text && i == 0)
            fail("the plan has no rights");
        if (!text)
            return;
        char *rest = strdup(text);
        if (!rest)
            fail("there is no memory");
        for (char *line; (line = strsep(&rest, "\n"));)
            if (*line)
                add_right(line);
    }
}

/* The most that a right gives to PATH, or to as much of it as is the shorter name. */
static enum level level_of(const char *path, size_t shorter)
{
    enum level level = NONE;
    size_t n = strlen(path);
    for (size_t i = 0; i < rights.count && level < CREATE; i++) {
        const struct right *right = &rights.list[i];
        if (right->level > level && (like_fits(right->pattern + 1, path + 1, n - 1) ||
                                     (shorter < n && like_fits(right->pattern + 1, path + 1, shorter - 1))))
            level = right->level;
    }
    return level;
}

/* The repository NAME in DIR, whose path this is.  It is also meant without ".git" unless that is another one. */
static void add(int dir, const char *name, const char *path)
{
    char shorter[NAME_MAX + 1];
    size_t n = strlen(name), left_out = 0;
    if (n > SUFFIX && n < sizeof shorter && strcmp(name + n - SUFFIX, ".git") == 0) {
        memcpy(shorter, name, n - SUFFIX);
        shorter[n - SUFFIX] = '\0';
        left_out = found_at(dir, shorter) == NOTHING ? SUFFIX : 0;
    }
    enum level level = level_of(path, strlen(path) - left_out);
    if (level == NONE)
        return;
    seen.list = grown(seen.list, seen.count, sizeof *seen.list);
    char *copy = strdup(path);
    if (!copy)
        fail("there is no memory");
    seen.list[seen.count++] = (struct seen){ copy, left_out, level };
}

static bool is_directory(int dir, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

/* Look at NAME in DIR and below; PATH, of PATH_MAX bytes, is its path.  What is within a repository is none. */
static void look(int dir, const char *name, char *path, int depth)
{
    enum found found = found_at(dir, name);
    if (found == REPOSITORY)
        add(dir, name, path);
    if (found != NOTHING)
        return;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = fd < 0 || depth == 0 ? NULL : fdopendir(fd);
    if (!list) {
        seen.cut = seen.cut || errno != ENOENT;
        if (fd >= 0)
            close(fd);
        return;
    }
    size_t n = strlen(path);
    for (struct dirent *entry; (entry = readdir(list));) {
        size_t more = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || entry->d_name[0] == '-' || !is_directory(dirfd(list), entry))
            continue;
        if (n + 1 + more >= PATH_MAX) {
            seen.cut = true;
            continue;
        }
        path[n] = '/';
        memcpy(path + n + 1, entry->d_name, more + 1);
        look(dirfd(list), entry->d_name, path, depth - 1);
        path[n] = '\0';
    }
    closedir(list);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct seen *)a)->path, ((const struct seen *)b)->path);
}

static void look_everywhere(void)
{
    char path[PATH_MAX];
    const char *roots = getenv("JAILSSH_ROOTS");
    for (size_t n; roots && *roots; roots += n + (roots[n] == '\n')) {
        n = strcspn(roots, "\n");
        if (n == 0 || n >= sizeof path)
            fail("the directories in the plan cannot be read");
        memcpy(path, roots, n);
        path[n] = '\0';
        look(AT_FDCWD, path, path, COMPONENTS_MOST);
    }
    if (seen.count > 0)
        qsort(seen.list, seen.count, sizeof *seen.list, by_path);
}

void list(bool with_rights)
{
    read_rights();
    look_everywhere();
    for (size_t i = 0; i < seen.count; i++) {
        const struct seen *each = &seen.list[i];
        if (i > 0 && strcmp(each->path, each[-1].path) == 0)
            continue; /* of directories one of which is in the other */
        if (with_rights)
            printf("%-12s", each->level == READ ? "read" : "read write");
        say_name(stdout, each->path, each->left_out);
        putchar('\n');
    }
    for (size_t i = 0; with_rights && i < rights.count; i++)
        if (rights.list[i].level == CREATE) {
            printf("%-12s", words[CREATE]);
            say_name(stdout, rights.list[i].pattern, 0);
            putchar('\n');
        }
    if (seen.cut)
        fputs("jailssh: not all directories could be looked at\n", stderr);
}
