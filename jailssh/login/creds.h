/* Giving up power, and proving that it is gone. */
#ifndef JAILSSH_CREDS_H
#define JAILSSH_CREDS_H

#include "plan.h"

/* First instructions: descriptors, signals, timers, limits, umask, personality, dumpable.  Refuses on failure. */
void creds_sanitise(void);

/* The identity is the real uid and nothing else.  Refuses root, and a program that lacks its privilege. */
uid_t creds_identity(void);

/* Act on files as UID (as root with 0): fsuid and fsgid, and with them the file capabilities. */
void creds_files_as(uid_t uid, gid_t gid);

/* What can be given up before the jail exists: bounding and ambient sets, new privileges, the session keyring. */
void creds_prepare(void);

/* Become the plan's user for good and verify that nothing can be regained. */
void creds_drop(const struct plan *plan, const gid_t *groups, size_t count);

/* True where Landlock can keep this jail's abstract unix sockets and signals from all others (ABI 6, Linux 6.12). */
bool creds_can_scope(void);
void creds_scope(void);

/* Install the plan's system call filter, the last step before the user's request is read. */
void creds_filter(const struct plan *plan);

/* The limits of the plan over those that the caller came with; core files never.  In force at once, but for those of
 * processes, descriptors and CPU time, which are set in a child: of vfork(2), so this writes to nothing. */
void creds_limits(const struct plan *plan);
bool creds_limits_of_command(void);

#endif
