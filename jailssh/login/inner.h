/* The jail's first process. */
#ifndef JAILSSH_INNER_H
#define JAILSSH_INNER_H

#include <stdnoreturn.h>

#include "env.h"
#include "jail.h"

/* Build the jail, drop all power, judge and run the command.  CHANNEL leads to the outer half. */
noreturn void inner_run(const struct plan *plan, const struct request *request, int channel, const struct jail *jail);

/* In a jail that is there: keep CHANNEL and 0-2 alone, drop all power, put filter and limits in force.  Returns the
 * channel's number from then on. */
int inner_enter(const struct plan *plan, int channel);

/* The keeper of a jail that outlives its logins: build it, drop all power, say so, and hold it. */
noreturn void inner_keep(const struct plan *plan, int channel, const struct jail *jail);

#endif
