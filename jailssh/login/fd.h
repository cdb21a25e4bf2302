/* Opening things.  Every path is walked component by component with O_NOFOLLOW; nothing is judged but descriptors. */
#ifndef JAILSSH_FD_H
#define JAILSSH_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Who a walk believes: anybody, or only directories and files that root alone can change. */
enum fd_trust { FD_ANY, FD_ROOT_ONLY };

/* A call that the kernel does not have.  A container's filter answers EPERM for what it does not know; where power is
 * missing the old way fails too. */
bool fd_call_is_missing(int error);

/* Walk the clean path PATH from directory DIR (a leading slash does not leave DIR) and open its last component with
 * FLAGS.  Returns a descriptor, or -1 with errno (EPERM: a component that others can change). */
int fd_walk(int dir, const char *path, int flags, enum fd_trust trust);

/* The last component's parent, and its name in *NAME. */
int fd_walk_parent(int dir, const char *path, const char **name, enum fd_trust trust);

/* Read a regular file of OWNER's, whole: it has no other name, no permission bit of FORBIDDEN, at least one byte and
 * at most MOST.  Returns memory of *SIZE bytes and a NUL, or NULL with errno. */
char *fd_read_owned(int dir, const char *name, uid_t owner, mode_t forbidden, size_t most, size_t *size);

/* The same of a file NAME of root's that nobody else can change, in the directory FOLDER, whose path only root can
 * change either.  *FOUND: the directory is there. */
char *fd_read_roots(const char *folder, const char *name, size_t most, size_t *size, bool *found);

/* Create NAME in DIR with this content, mode 0644 as far as umask(2) leaves it.  Returns false with errno. */
bool fd_write_new(int dir, const char *name, const char *content);

/* Point descriptors 0-2 that are closed at /dev/null and close all others. */
bool fd_sanitise(void);

/* Close all but 0-2 and FD, whose number from then on is returned; -1 with errno. */
int fd_keep_only(int fd);

#endif
