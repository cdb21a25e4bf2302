/* What git takes for a repository. */
#ifndef JAILSSH_FOUND_H
#define JAILSSH_FOUND_H

/* What git finds at a place: it looks on, it goes to another directory (or gives up), it opens this one. */
enum found { NOTHING, ELSEWHERE, REPOSITORY };

/* What git finds at PATH, which is seen from the directory DIR: a repository with a working tree, whose .git is a
 * directory there, or a bare one. */
enum found found_at(int dir, const char *path);

#endif
