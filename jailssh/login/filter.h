/* The plan's system call filter. */
#ifndef JAILSSH_FILTER_H
#define JAILSSH_FILTER_H

#include "plan.h"

/* Read the filter; refuses one that is for another machine. */
void filter_read(const struct plan *plan);

/* True where the filter that was read lets nobody reach System V IPC or POSIX message queues, by whatever arguments, so
 * that it does not matter with whom an IPC namespace is shared. */
bool filter_denies_ipc(void);

/* Install it, the last step before the user's request is read. */
void filter_install(void);

#endif
