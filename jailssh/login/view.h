/* The way out of where PAM's module puts the sessions of cron, at and su (pam/view.c): nothing but this program can be
 * executed there. */
#ifndef JAILSSH_VIEW_H
#define JAILSSH_VIEW_H

/* Where the host's mount namespace is bound in there.  Nobody can make a file of this name in a procfs. */
#define VIEW_HOST "/proc/jailssh-host"

/* Go back to the host's mounts, if this process is there. */
void view_leave(void);

#endif
