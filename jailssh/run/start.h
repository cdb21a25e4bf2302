/* The command of a plan. */
#ifndef JAILSSH_RUN_START_H
#define JAILSSH_RUN_START_H

#include <stdnoreturn.h>

#include "plan.h"

/* After the drop, as the first process: start the command, reap, pass signals on, end as it ends.  CHANNEL leads to the
 * outer half. */
noreturn void start_command(const struct plan *plan, int channel);

#endif
