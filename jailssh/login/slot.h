/* How many sessions there are at a time. */
#ifndef JAILSSH_SLOT_H
#define JAILSSH_SLOT_H

#include "plan.h"

/* Take a place among the sessions of the account and of the key that is named KEY, as far as the plan bounds them;
 * denies the login where none is free.  All keys of an account that have no name (KEY is empty) count as one. */
void slot_take(const struct plan *plan, const char *key);

/* In the jail's first process: leave the places to the outer half alone, with which they end. */
void slot_leave(void);

#endif
