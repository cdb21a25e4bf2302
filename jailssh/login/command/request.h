/* The words of a command. */
#ifndef JAILSSH_REQUEST_H
#define JAILSSH_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "reason.h"

enum { REQUEST_MAX = 65536, WORDS_MAX = 1030 };

struct word {
    char *text;    /* quotes and backslashes resolved */
    char *pattern; /* the same with what was quoted escaped for glob(3) */
    bool glob;     /* holds an unquoted * ? or [ */
    bool tilde;    /* begins with an unquoted ~ */
};

struct words {
    struct word list[WORDS_MAX];
    size_t count;
    char at_fault[8]; /* the offending character, printable */
};

/* Split COMMAND into words: blanks separate; quotes and backslash as in sh(1), nothing else.  Returns R_NONE, or
 * the reason of a denial with out->at_fault set where one character is to blame, and the words up to there.  BUFFER
 * holds the words. */
enum reason request_split(const char *command, struct words *out, char buffer[4 * REQUEST_MAX]);

#endif
