/* Repositories among the operands. */
#ifndef JAILSSH_REPOSITORY_H
#define JAILSSH_REPOSITORY_H

#include "rule.h"

/* True if the value is a repository below one of the rule's directories that one of its patterns means; with NEW, where
 * one may be made.  *REPLACEMENT is the name under which git opens it. */
bool repository_fits(struct matching *m, const struct value *value, bool new, const char **replacement);

#endif
