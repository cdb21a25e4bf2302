/* The plan of this login. */
#ifndef JAILSSH_LOAD_H
#define JAILSSH_LOAD_H

#include "env.h"
#include "plan.h"

/* Read the plan of the account UID, having one made where there is none; of a shared account that of the key by which
 * sshd let the caller in, whose name goes into REQUEST.  From then on records have the account's name and the key's.
 * Refuses what is not as it must be. */
void load_plan(uid_t uid, struct request *request, struct plan *plan);

#endif
