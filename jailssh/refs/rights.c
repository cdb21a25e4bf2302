#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../login/command/like.h"
#include "name.h"
#include "repository.h"
#include "rights.h"

static const struct {
    const char *word;
    unsigned acts;
    bool denies;
} words[] = {
    { "push", ACT_PUSH, false },     { "rewind", ACT_PUSH | ACT_REWIND, false },
    { "create", ACT_CREATE, false }, { "delete", ACT_DELETE, false },
    { "deny", ACT_ANY, true },
};

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
        if (!repository_is_meant(repository, repository->named, pattern))
            continue;
        rights->ruled = true;
        size_t names = strcmp(word, "deny") == 0 ? repository->named : repository->giving;
        if (!ruled && repository_is_meant(repository, names, pattern) && !add(rights, word, line))
            return false;
    }
    return true;
}

const char *rights_read(struct rights *rights)
{
    struct repository repository = { .named = 0 };
    const char *path = getenv("JAILSSH_REPOSITORY");
    *rights = (struct rights){ .count = 0 };
    if (!path || !repository_is_named(&repository, path))
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
