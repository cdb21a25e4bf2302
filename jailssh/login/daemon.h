/* Asking jailsshd to build what a login lacks. */
#ifndef JAILSSH_DAEMON_H
#define JAILSSH_DAEMON_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Ask for the image and plan of UID, wait a bounded time.  True when the plan is there now; else WHY says why not. */
bool daemon_ask(uid_t uid, char *why, size_t size);

#endif
