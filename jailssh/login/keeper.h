/* Jails that outlive their logins. */
#ifndef JAILSSH_KEEPER_H
#define JAILSSH_KEEPER_H

#include <sys/types.h>

#include "jail.h"
#include "plan.h"

/* Enter the namespaces that are kept for this account, key (or "") and plan, making them when they are missing, and
 * clone(2) the session's first process in them.  A keeper that is made reports over CHANNEL, whose ends are both left
 * open.  Returns as fork(2) does. */
pid_t keeper_join(const struct plan *plan, const char *key, const int channel[2], struct jail *jail);

#endif
