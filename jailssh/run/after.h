/* What is outside of the namespaces and must go with the command: its pid file, its control groups. */
#ifndef JAILSSH_RUN_AFTER_H
#define JAILSSH_RUN_AFTER_H

#include <sys/types.h>

#include "plan.h"

/* Put PID into the plan's pid file, if it has one, and leave somebody who takes that and the control groups away once
 * PIDFD ends, whatever becomes of us.  REPORT: where a daemon says that it starts, whose own pid it is then, or -1.
 * STARTED: where a byte says that it runs, or -1.  Returns that process or 0. */
pid_t after_begin(const struct plan *plan, pid_t pid, int pidfd, int report, int started);

/* Wait until it has, unless the first process, PIDFD, stays. */
void after_end(pid_t helper, int pidfd);

#endif
