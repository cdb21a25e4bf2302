/* The repository that is pushed to, and the patterns that mean it. */
#ifndef JAILSSH_REFS_REPOSITORY_H
#define JAILSSH_REFS_REPOSITORY_H

#include <stdbool.h>
#include <stddef.h>

enum { REPOSITORY_MOST = 4096 };

/* A repository's path, and how much of it are the names by which a pattern may mean it.  The shorter one gives no right
 * where another repository has it; that its lines rule, deny, or have something run does not depend on what somebody
 * may make there. */
struct repository {
    char path[REPOSITORY_MOST];
    size_t length[2], named, giving;
};

/* Take the absolute PATH.  False: it is none. */
bool repository_is_named(struct repository *repository, const char *path);

/* True if an absolute PATTERN fits one of the first NAMES names. */
bool repository_is_meant(const struct repository *repository, size_t names, const char *pattern);

#endif
