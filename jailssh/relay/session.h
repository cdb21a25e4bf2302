/* Which login a process belongs to. */
#ifndef JAILSSH_RELAY_SESSION_H
#define JAILSSH_RELAY_SESSION_H

#include <stdint.h>
#include <sys/types.h>

/* The session's id, "" where that cannot be told: the process has ended, or what it was started by
 * has.  NOW in nanoseconds. */
const char *session_of(pid_t pid, uid_t uid, int64_t now);

#endif
