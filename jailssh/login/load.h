/* The plan of this login, or of this entry into a jail. */
#ifndef JAILSSH_LOAD_H
#define JAILSSH_LOAD_H

#include "env.h"
#include "plan.h"

/* Read the plan of the account UID, having one made where there is none; of a shared account that of the key by which
 * sshd let the caller in, whose name goes into REQUEST.  Of who asks to enter a jail it is the plan that root has
 * published for this account and this jail, and nobody is asked for another.  From then on records have the account's
 * name and the key's.  Refuses what is not as it must be. */
void load_plan(uid_t uid, struct request *request, struct plan *plan);

/* Read the plan of an account.  WHICH: "", the serial of the plan of a key of a shared account's, or @ and the name of
 * a jail that the account may enter.  Returns NULL, or why not; "" where there is none. */
const char *load_file(uid_t uid, const char *which, const struct request *request, struct plan *plan);

#endif
