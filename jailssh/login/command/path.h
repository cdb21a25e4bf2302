/* Paths that the user names. */
#ifndef JAILSSH_PATH_H
#define JAILSSH_PATH_H

#include <limits.h>

#include "rule.h"

/* A path with room for any that the kernel takes, and for names that are tried behind it.  Its text ends with a NUL. */
struct path {
    size_t length;
    char text[PATH_MAX + 32];
};

/* Add TEXT to PATH.  False, and PATH is as it was, where there is no room. */
__attribute__((warn_unused_result)) bool path_append(struct path *path, const char *text);

/* Leave the first LENGTH bytes of PATH, which has as many. */
void path_cut(struct path *path, size_t length);

/* PATH as text without repeated slashes and "." components; NULL where a ".." would be left. */
char *path_canonical(const char *path);

/* BASE and REST with a slash between. */
char *path_joined(const char *base, const char *rest);

bool path_is_relative(const char *text);

/* The path that VALUE means, as path_canonical has it (in *FULL as it would be executed); NULL with the refusal in the
 * verdict.  It is not yet below a root. */
char *value_path(struct matching *m, const struct value *value, char **full);

#endif
