/* The commands, each for a repository that the login program has judged: it exists, or does not, and fits the rights of
 * who asks.  Each ends with a message where it cannot be done, and nothing is changed then. */
#ifndef JAILSSH_REPOS_COMMANDS_H
#define JAILSSH_REPOS_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

/* Print the repositories; with RIGHTS also what may be done to each, and what may be created. */
void list(bool rights);

/* Make the repository at PATH.  MAY_EXIST: silently, and another may have been faster. */
void create(const char *path, bool may_exist);

/* Print the description of the repository at PATH, or set it to COUNT words. */
void describe(const char *path);
void set_description(const char *path, char *const *words, size_t count);

/* Make BRANCH the one that HEAD stands for. */
void set_head(const char *path, const char *branch);

/* Move the repository at PATH to the trash beside it; take the one that was last moved from PATH back. */
void delete (const char *path);
void restore(const char *path);

#endif
