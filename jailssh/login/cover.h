/* Covers for what programs of the host act on in a home. */
#ifndef JAILSSH_COVER_H
#define JAILSSH_COVER_H

#include "plan.h"

/* Cover what record RECORD (a mask) names: PATH below the mount TOP.  It is opened as the user and the cover placed on
 * that very descriptor, so it does not matter what the user renames meanwhile.  ROOT is the root of the jail, with the
 * tmpfs at /run in which the empty directory and file are that it is covered with. */
void cover(const struct plan *plan, size_t record, int top, const char *path, int root);

#endif
