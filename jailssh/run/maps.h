/* The ids of a user namespace. */
#ifndef JAILSSH_RUN_MAPS_H
#define JAILSSH_RUN_MAPS_H

#include <sys/types.h>

#include "plan.h"

/* Write the plan's maps for the process PID in its new user namespace: as root, or one's own id, by ourselves, else by
 * newuidmap(1) and newgidmap(1).  Refuses on failure. */
void maps_write(const struct plan *plan, pid_t pid);

/* In there, before the mounts: be who builds them, root if the maps have one. */
void maps_enter(const struct plan *plan);

#endif
