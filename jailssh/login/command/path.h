/* Paths that the user names. */
#ifndef JAILSSH_PATH_H
#define JAILSSH_PATH_H

#include "rule.h"

/* PATH as text without repeated slashes and "." components; NULL where a ".." would be left. */
char *path_canonical(const char *path);

/* BASE and REST with a slash between. */
char *path_joined(const char *base, const char *rest);

bool path_is_relative(const char *text);

/* The path that VALUE means, as path_canonical has it (in *FULL as it would be executed); NULL with the refusal in the
 * verdict.  It is not yet below a root. */
char *value_path(struct matching *m, const struct value *value, char **full);

#endif
