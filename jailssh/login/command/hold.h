/* After the drop: what holds a jail that outlives its logins. */
#ifndef JAILSSH_HOLD_H
#define JAILSSH_HOLD_H

#include <stdnoreturn.h>

#include "plan.h"

/* Say over CHANNEL that the jail is built, give up all descriptors, of which CHANNEL is the last, and hold the jail
 * until the account expires or nobody has been there for some seconds. */
noreturn void hold_jail(const struct plan *plan, int channel);

#endif
