/* The outer half of one login: it waits, decides and keeps time. */
#ifndef JAILSSH_OUTER_H
#define JAILSSH_OUTER_H

#include <sys/types.h>

#include "env.h"
#include "plan.h"

/* Become the outer half of a session: without power, and known by it to the relay and to root's commands. */
void outer_become(const struct plan *plan, const struct request *request);

/* The outer half after the clone, once it is without power; returns the exit status.  PID and PIDFD are of the jail's
 * first process; PARENT is who must not go before it, or 0. */
int outer_run(const struct plan *plan, const struct request *request, int channel, pid_t pid, int pidfd, pid_t parent);

#endif
