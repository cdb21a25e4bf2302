/* A set of namespaces that is there already, and the first process that holds one. */
#ifndef JAILSSH_RUN_JOIN_H
#define JAILSSH_RUN_JOIN_H

#include <stdnoreturn.h>

#include "plan.h"

/* Enter all namespaces of the process that the plan's `join` names and that are not ours; that of processes is for what
 * is cloned from now on.  Refuses what is not that process, or is not in a tree of its own. */
void join_enter(const struct plan *plan);

/* After the drop, as the first process of its namespaces: tell the outer half by CHANNEL, hold them, reap.  SIGTERM
 * from outside ends what runs in them, by SIGTERM too, and after a while by the end of this process. */
noreturn void join_hold(int channel);

#endif
