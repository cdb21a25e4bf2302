/* File names that a pattern stands for. */
#ifndef JAILSSH_PATTERN_H
#define JAILSSH_PATTERN_H

#include "request.h"

/* What a pattern stands for, sorted.  LOOKS is how many names may still be looked at, for all patterns of a command. */
enum { NAMES_MAX = WORDS_MAX + 600, LOOKS_MAX = 1 << 17 };
struct names {
    char *list[NAMES_MAX];
    size_t count, bytes;
    long looks;
};

/* True for a path with a component "..". */
bool pattern_goes_up(const char *text);

/* Find names from the working directory on.  False: more than the bounds allow. */
bool pattern_find(const char *pattern, struct names *names);

#endif
