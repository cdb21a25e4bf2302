/* The file systems that are the kernel's own: /dev and /proc of a tree. */
#ifndef JAILSSH_RUN_SPECIAL_H
#define JAILSSH_RUN_SPECIAL_H

#include "plan.h"

/* Over the directory /dev of the tree ROOT, if there is one: the six devices, a devpts, a /dev/shm. */
void special_dev(const struct plan *plan, int root);

/* Mount a /proc at the directory TARGET, which is closed, in which nothing of the host's can be written or learned. */
void special_proc(const struct plan *plan, int target, const char *const options[][2]);

/* A clone of what FD is of with these attributes (MOUNT_ATTR_*), detached and private; closes FD.  Refuses. */
int special_clone(int fd, bool recursive, unsigned long attr, unsigned long propagation);

#endif
