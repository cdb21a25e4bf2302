/* Failing closed.  Every way out of the login program that is not the user's own command goes through here. */
#ifndef JAILSSH_FAIL_H
#define JAILSSH_FAIL_H

#include <limits.h>
#include <stdnoreturn.h>

#include "reason.h"

/* The numbers stand in jailssh/core/errors.py too. */
enum { EXIT_REFUSED = 125, EXIT_DENIED = 126, EXIT_NOT_FOUND = 127 };

/* The name by which jailssh-deliver(8) starts this program.  A mail server waits for the answer then: it keeps the
 * message where the answer is EX_TEMPFAIL of sysexits(3), and gives it back to the sender with any other but 0. */
#define MAIL_NAME "jailssh-mail"
void fail_by_name(const char *name);

/* The exit status for a code: one of the above with its reason, or a command's, with why it was ended or R_NONE. */
int fail_status(int code, enum reason reason);

/* Refuse the login: REASON has a stable code for the journal, WHAT the thing that failed, ERROR an errno or 0. */
noreturn void refuse(enum reason reason, const char *what, int error);

/* Deny the login or the command: policy said no.  Before there is a jail, the user is told DETAIL. */
noreturn void deny(enum reason reason, const char *detail);

/* How the inner half leaves: it reports to the outer half, which tells the user and logs. */
typedef void fail_exit(int code, enum reason reason, const char *detail);
void fail_set_exit(fail_exit *leave);

/* The session's id, part of which is the reference that the user is told. */
void fail_name_session(const char *id);

/* Tell the user, if that is possible at once: who has stopped their terminal must not hold a place or a record up. */
__attribute__((format(printf, 1, 2))) void fail_say(const char *format, ...);
extern char fail_said[PIPE_BUF]; /* the last of it */

/* The one neutral line for the user, that we cannot do WHAT, and the record for the administrator. */
void fail_tell(const char *what);

/* The line for the user about a command that is not allowed: what of it, and WHAT the account is for. */
void fail_tell_denied(const char *detail, const char *what);
void fail_log(int code, enum reason reason, const char *detail, const char *command);

#endif
