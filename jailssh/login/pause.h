/* Maintenance: no new logins. */
#ifndef JAILSSH_PAUSE_H
#define JAILSSH_PAUSE_H

/* Deny the login while root's file says so; one that is not as it must be says so too. */
void pause_enforce(void);

#endif
