/* The jail's file system: everything by descriptor, from the plan alone. */
#ifndef JAILSSH_MOUNT_H
#define JAILSSH_MOUNT_H

#include "plan.h"

/* Open the plan's image, which only root can have changed.  Returns a descriptor. */
int mount_open_image(const struct plan *plan);

/* Make a detached mount of the image at descriptor FD, for mount_base. */
void mount_take_image(int fd);

/* Open the plan's other sources as detached mounts, still in the host's namespace. */
void mount_open_sources(const struct plan *plan);

/* In a new mount namespace: make the image with a minimal /dev its root, and nothing else. */
void mount_base(void);

/* In the login's own namespace: add all that the plan names.  BASE: mount_base has been here before. */
void mount_build(const struct plan *plan, bool base);

/* Open RUN_DIR, which is made when it is missing.  Returns a descriptor, or -1 with errno. */
int pin_open_run_directory(void);

/* Enter the namespaces that are pinned below RUN_DIR, making them when they are missing: a mount namespace with the
 * base of the image at descriptor IMAGE, so that the clone that follows copies no mounts of the host; and, where *NET
 * is true, an empty network namespace.  *NET tells whether that one was entered.  False where there are none: the plain
 * way works. */
bool pin_enter(int image, bool *net);

#endif
