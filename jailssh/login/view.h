/* The way out of where PAM's module puts the sessions of cron, at and su (pam/view.c): nothing but this program can be
 * executed there. */
#ifndef JAILSSH_VIEW_H
#define JAILSSH_VIEW_H

/* Where the namespaces of the host's first process are found in there.  Nobody can make a name in a procfs. */
#define VIEW_DIR "/proc/jailssh-host"
#define VIEW_HOST VIEW_DIR "/mnt"

/* Go back to the host's mounts, if this process is there. */
void view_leave(void);

#endif
