/* Giving up power, and proving that it is gone. */
#ifndef JAILSSH_CREDS_H
#define JAILSSH_CREDS_H

#include "plan.h"

/* setresuid(2) and setresgid(2) of this one thread; (uid_t)-1 leaves one as it is.  False with errno. */
bool creds_set_uids(uid_t real, uid_t effective, uid_t saved);
bool creds_set_gids(gid_t real, gid_t effective, gid_t saved);

/* First instructions: descriptors, signals, timers, limits, umask, personality, dumpable.  Refuses on failure.
 * KEEP_OPEN: the descriptors are for the caller. */
void creds_sanitise(bool keep_open);

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

/* Do so.  FILES_TOO: a layer about files may follow (within.c), and files are to be moved all the same.  SIGNALS: of
 * signals too. */
void creds_scope(bool files_too, bool signals);

/* The limits of the plan over those that the caller came with; core files never.  In force at once, but for those of
 * processes, descriptors and CPU time, which are set in a child: of vfork(2), so this writes to nothing. */
void creds_limits(const struct plan *plan);
bool creds_limits_of_command(void);

#endif
