/* The jail's file system: everything by descriptor, from the plan alone. */
#ifndef JAILSSH_MOUNT_H
#define JAILSSH_MOUNT_H

#include "plan.h"

/* Open the plan's image, which only root can have changed.  Returns a descriptor. */
int mount_open_image(const struct plan *plan);

/* Make a detached mount of the image at descriptor IMAGE, for mount_base. */
int mount_take_image(int image);

/* Open the plan's other sources, still in the host's namespace.  Returns their detached mounts by record, -1 for what
 * has none. */
int *mount_open_sources(const struct plan *plan);

/* In a new mount namespace: make TREE, a detached mount of the image, with a minimal /dev its root, and nothing else
 * but something empty at /run to cover with.  TREE is closed. */
void mount_base(int tree);

/* In the login's own namespace, where mount_base has been: add all that the plan names. */
void mount_build(const struct plan *plan, const int *mounts);

#endif
