/* Where the symbolic links of a path lead. */
#ifndef JAILSSH_BENEATH_H
#define JAILSSH_BENEATH_H

#include <stdbool.h>

/* True if PATH, as far as it exists, stays below ROOT when its symbolic links are followed (openat2(2),
 * RESOLVE_BENEATH; where that is missing, any symbolic link is one too many). */
bool path_stays_below(const char *root, const char *path);

#endif
