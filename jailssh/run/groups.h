/* The control groups of a command or a system, which were made for it. */
#ifndef JAILSSH_RUN_GROUPS_H
#define JAILSSH_RUN_GROUPS_H

#include <stdbool.h>
#include <sys/types.h>

#include "plan.h"

/* From now on they are ours: who refuses in this process removes them. */
void groups_own(const struct plan *plan);

/* Put the process PID into them, once somebody will remove them (after.h; of a system who stops it).  Refuses. */
void groups_enter(pid_t pid);

/* Remove them, with PATIENCE for what is just about to end. */
void groups_remove(const struct plan *plan, bool patience);

/* As this process leaves without a command; does nothing in a child. */
void groups_give_up(void);

#endif
