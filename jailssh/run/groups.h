/* The control groups of a command, which `jailssh run` has made for it. */
#ifndef JAILSSH_RUN_GROUPS_H
#define JAILSSH_RUN_GROUPS_H

#include <stdbool.h>
#include <sys/types.h>

#include "plan.h"

/* From now on they are ours: who refuses in this process removes them. */
void groups_own(const struct plan *plan);

/* Put the process PID into them, once somebody waits to remove them (after.h).  Refuses. */
void groups_enter(pid_t pid);

/* Remove them, with PATIENCE for what is just about to end. */
void groups_remove(const struct plan *plan, bool patience);

/* As this process leaves without a command; does nothing in a child. */
void groups_give_up(void);

#endif
