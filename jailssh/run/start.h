/* The command of a plan. */
#ifndef JAILSSH_RUN_START_H
#define JAILSSH_RUN_START_H

#include <stdnoreturn.h>

#include "plan.h"

/* The arguments of the records with VERB, joined by = where there are two, up to a NULL. */
char **start_list(const struct plan *plan, enum plan_verb verb);

/* After the drop, as the first process: start the command, reap, pass signals on, end as it ends.  CHANNEL leads to the
 * outer half. */
noreturn void start_command(const struct plan *plan, int channel);

#endif
