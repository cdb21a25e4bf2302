/* The jail's file system: everything by descriptor, from the plan alone. */
#ifndef JAILSSH_MOUNT_H
#define JAILSSH_MOUNT_H

#include "plan.h"

/* Open the plan's sources (image, binds) as detached mounts, still in the host's namespace. */
void mount_open_sources(const struct plan *plan);

/* In the new namespaces: attach everything, make it the root, drop the old one, verify. */
void mount_build(const struct plan *plan, bool small_namespace);

/* Make the device nodes and links of a minimal /dev in the directory DEV. */
void mount_fill_dev(int dev);

/* Enter the namespaces that are pinned below RUN_DIR, making them when they are missing: a nearly empty mount
 * namespace, so that the clone that follows copies no mounts of the host; and, where *NET is true, an empty network
 * namespace.  *NET tells whether that one was entered.  False where there are none: the plain way works. */
bool pin_enter(bool *net);

#endif
