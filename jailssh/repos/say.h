/* What is said to who asks.  Names of repositories are as the client writes them, and nothing that a terminal obeys. */
#ifndef JAILSSH_REPOS_SAY_H
#define JAILSSH_REPOS_SAY_H

#include <stdio.h>
#include <stdnoreturn.h>

enum { EXIT_NO_RIGHT = 126 };

/* Write TEXT, in which each byte that cannot be read is a "?". */
void say_text(FILE *to, const char *text);

/* Write the name by which a client finds the repository at PATH: from the first directory of repositories on, where it
 * is below that, and without LEFT_OUT bytes at its end. */
void say_name(FILE *to, const char *path, size_t left_out);

/* The same without a ".git" at its end, which git does without. */
void say_short(FILE *to, const char *path);

/* "jailssh: NAME: WHY", and what ERROR means unless it is 0; end with CODE. */
noreturn void say_and_end(int code, const char *path, const char *why, int error);

#endif
