/* A tree that is a file with one file system. */
#ifndef JAILSSH_RUN_IMAGE_H
#define JAILSSH_RUN_IMAGE_H

#include "plan.h"

/* The plan's image file as a detached mount, read-only, nosuid and nodev.  The loop device below it goes with the last
 * descriptor or mount, whatever becomes of us.  For root alone, and only a file that root alone can change.  Refuses.
 */
int image_mount(const struct plan *plan);

#endif
