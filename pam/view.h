/* Where a service runs what a jailed account has asked for: the host's files, and nothing of them can be executed but
 * the login program, which leaves it for the account's jail (jailssh/login/view.h). */
#ifndef JAILSSH_PAM_VIEW_H
#define JAILSSH_PAM_VIEW_H

/* Put this process there, for good.  Returns NULL, or what failed, with errno; the process must end then. */
const char *view_enter(void);

#endif
