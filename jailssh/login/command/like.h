/* The patterns of tables of rights. */
#ifndef JAILSSH_LIKE_H
#define JAILSSH_LIKE_H

#include <stdbool.h>
#include <stddef.h>

/* True if the first N bytes of TEXT fit the whole PATTERN: "*" is any part of one component, "**" as the last one any
 * components, none of which begins with a dot.  Both are without the slash at the beginning, which stands before TEXT.
 */
bool like_fits(const char *pattern, const char *text, size_t n);

#endif
