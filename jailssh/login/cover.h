/* Covers for what programs of the host act on in a home, and for what else a plan hides. */
#ifndef JAILSSH_COVER_H
#define JAILSSH_COVER_H

#include "plan.h"

/* Cover all that PLAN masks below its binds, whose mounts are in MOUNTS by record.  What is covered is opened as the
 * user and its cover placed on that very descriptor, so it does not matter what the user renames meanwhile.  ROOT is
 * the root of the jail, with the tmpfs at /run in which the empty directory and file are that are laid over it. */
void cover(const struct plan *plan, const int *mounts, int root);

#endif
