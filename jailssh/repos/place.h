/* Where repositories are: names, directories, moves.  Everything goes by descriptor, and no symbolic link is followed,
 * as the login program has resolved those that a name went by. */
#ifndef JAILSSH_REPOS_PLACE_H
#define JAILSSH_REPOS_PLACE_H

#include <stdbool.h>
#include <stddef.h>

enum { COMPONENT_MOST = 200, COMPONENTS_MOST = 64 };

/* Why no repository gets this PATH for a name, NULL if one may. */
const char *place_refused(const char *path);

/* Open the directory above PATH, whose last component is *NAME.  Ends with a message if there is none. */
int place_above(const char *path, const char **name);

/* Open the git directory of the repository at PATH, with its working tree or bare.  Ends with a message. */
int place_git_directory(const char *path);

/* Move A in FROM to B in TO, where nothing may be (EEXIST).  False with errno. */
bool place_move(int from, const char *a, int to, const char *b);

/* Fill TEXT, of N + 1 bytes, with random hexadecimal digits. */
bool place_random(char *text, size_t n);

/* Remove NAME in DIR with everything in it, as far as it goes. */
void place_remove(int dir, const char *name);

/* See to it that what was done in DIR outlasts a power cut, as far as it can be opened. */
bool place_sync(int dir, const char *name);

#endif
