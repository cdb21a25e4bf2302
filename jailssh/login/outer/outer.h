/* The outer half of one login: it waits, decides and keeps time. */
#ifndef JAILSSH_OUTER_H
#define JAILSSH_OUTER_H

#include <sys/types.h>

#include "env.h"
#include "plan.h"

/* The outer half after the clone and its own drop of all power; PARENT, whose end is the session's too, or 0.  Returns the exit status.  PID and PIDFD are of the jail's first process. */
int outer_run(const struct plan *plan, const struct request *request, int channel, pid_t pid, int pidfd, pid_t parent);

#endif
