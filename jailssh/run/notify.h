/* What a daemon tells its service manager (sd_notify(3)), passed on by a process that has nothing else. */
#ifndef JAILSSH_RUN_NOTIFY_H
#define JAILSSH_RUN_NOTIFY_H

#include <sys/types.h>

#include "plan.h"

/* The daemon finds it there. */
#define NOTIFY_NAME "notify"

/* Before there are namespaces: connect to the service manager's socket, if the plan names one. */
void notify_connect(const struct plan *plan);

/* In the new /dev, DEV: make the socket of the daemon's side. */
void notify_listen(const struct plan *plan, int dev);

/* After the drop, in the first process: start who passes on what cannot do harm.  Returns that process or 0. */
pid_t notify_start(const struct plan *plan);

#endif
