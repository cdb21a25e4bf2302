/* Names of references. */
#ifndef JAILSSH_REFS_NAME_H
#define JAILSSH_REFS_NAME_H

#include <stdbool.h>
#include <stddef.h>

enum { NAME_MOST = 4000 };

/* True for a name below refs/ as git-check-ref-format(1) has them: without blanks and control characters, so that it
 * can stand in an answer to git and in a path. */
bool name_is_good(const char *name);

enum points { POINTS_NOWHERE, POINTS_ELSEWHERE, POINTS_UNKNOWN };

/* Look into the repository, which is the working directory: is NAME a symbolic reference?  TARGET, of NAME_MOST + 1
 * bytes, gets the name that it stands for.  POINTS_UNKNOWN: what is there is none of git's files. */
enum points name_points(const char *name, char *target);

#endif
