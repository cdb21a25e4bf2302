/* Waiting for the jail's programs: what is left of them is reaped, signals are passed on, the time is kept. */
#ifndef JAILSSH_WAIT_H
#define JAILSSH_WAIT_H

#include <stdbool.h>
#include <sys/types.h>

#include "plan.h"

/* The session's time begins. */
void wait_begin(const struct plan *plan);

/* In a child that is to be waited for, of vfork(2): false where nobody does any more. */
bool wait_is_awaited(void);

/* Reap everything and pass signals on until CHILD ends, which leads a session of its own; returns its status. */
int wait_for(pid_t child);

#endif
