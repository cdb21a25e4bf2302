/* Covers for what programs of the host act on in a home, and for what else a plan hides. */
#ifndef JAILSSH_COVER_H
#define JAILSSH_COVER_H

#include "plan.h"

/* What covers are clones of, read-only: of the root of every jail, before the plan's tmpfs comes over /run. */
#define EMPTY_DIRECTORY "/run/empty"
#define EMPTY_FILE "/run/empty-file"
struct empty {
    int directory, file;
};

/* Open them in the root of the jail, if PLAN hides anything. */
struct empty cover_open_empty(const struct plan *plan, int root);

/* Cover all that PLAN masks below its binds, whose mounts are in MOUNTS by record.  What is covered is opened as the
 * user and its cover placed on that very descriptor, so it does not matter what the user renames meanwhile. */
void cover(const struct plan *plan, const int *mounts, const struct empty *empty);

#endif
