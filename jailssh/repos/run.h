/* git, where there is something that only git knows how to do. */
#ifndef JAILSSH_REPOS_RUN_H
#define JAILSSH_REPOS_RUN_H

#include <stdbool.h>
#include <stddef.h>

/* Run git with these WORDS, the first being its name, in the directory DIR.  What it prints goes nowhere, what it
 * complains of to who asks.  True if it ends well. */
bool run_git(int dir, const char *const *words);

/* The same, where each line that git prints is for TAKE, with its CONTEXT.  False too where a line is too long. */
bool run_git_lines(int dir, const char *const *words, void (*take)(void *context, const char *line), void *context);

#endif
