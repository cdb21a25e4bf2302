/* File names that a pattern stands for, as glob(3) finds them, but with bounds: a link to where it lies makes as many
 * names as one likes, and the user pays for neither time nor memory of the jail's first process. */
#include <dirent.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "pattern.h"

enum { BYTES = 1 << 20 };

struct finding {
    struct names *names;
    char path[PATH_MAX];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add(struct finding *f, size_t length)
{
    struct names *names = f->names;
    names->bytes += length + 1;
    if (names->count == NAMES_MAX || names->bytes > BYTES)
        return false;
    char *copy = strdup(f->path);
    names->list[names->count] = copy;
    names->count += copy != NULL;
    return copy != NULL;
}

/* Put the N bytes of TEXT behind LENGTH, without what quotes in a pattern; returns the new length, 0 without room. */
static size_t put(struct finding *f, size_t length, const char *text, size_t n)
{
    for (const char *end = text + n; text < end && length < sizeof f->path - 1; text++)
        if (*text != '\\' || ++text < end)
            f->path[length++] = *text;
    f->path[length] = '\0';
    return length < sizeof f->path - 1 ? length : 0;
}

static bool is_pattern(const char *part, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (part[i] == '\\')
            i++;
        else if (strchr("*?[", part[i]))
            return true;
    return false;
}

static bool find(struct finding *f, size_t length, const char *pattern);

/* What fits PART, of N bytes, in the directory at the path, and REST behind it. */
static bool find_in(struct finding *f, size_t length, const char *part, size_t n, const char *rest)
{
    char *wanted = strndup(part, n);
    DIR *dir = wanted ? opendir(length ? f->path : ".") : NULL;
    bool within = wanted != NULL;
    for (struct dirent *entry; within && dir && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        within = f->names->looks-- > 0;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || fnmatch(wanted, name, FNM_PERIOD) != 0)
            continue;
        if (*rest && entry->d_type != DT_DIR && entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
            continue;
        size_t n_name = strlen(name), all = length + n_name;
        if (all >= sizeof f->path - 1)
            continue;
        memcpy(f->path + length, name, n_name + 1);
        within = within && (*rest ? find(f, all, rest) : add(f, all));
        f->path[length] = '\0';
    }
    if (dir)
        closedir(dir);
    free(wanted);
    return within;
}

/* Every name that begins with the path and goes on as PATTERN says.  False: more than the bounds allow. */
static bool find(struct finding *f, size_t length, const char *pattern)
{
    for (;;) {
        size_t slashes = strspn(pattern, "/"), n = strcspn(pattern + slashes, "/");
        const char *part = pattern + slashes;
        if (*pattern == '\0') {
            struct stat st;
            return lstat(f->path, &st) != 0 || add(f, length);
        }
        if (slashes && !(length = put(f, length, pattern, slashes)))
            return true;
        if (is_pattern(part, n))
            return find_in(f, length, part, n, part + n);
        if (n && !(length = put(f, length, part, n)))
            return true;
        pattern = part + n;
    }
}

bool pattern_find(const char *pattern, struct names *names)
{
    struct finding f = { .names = names };
    names->count = names->bytes = 0;
    if (!find(&f, 0, pattern))
        return false;
    qsort(names->list, names->count, sizeof *names->list, by_name);
    return true;
}

bool pattern_goes_up(const char *text)
{
    for (; text; text = strchr(text, '/')) {
        text += *text == '/';
        if (strcspn(text, "/") == 2 && text[0] == '.' && text[1] == '.')
            return true;
    }
    return false;
}
