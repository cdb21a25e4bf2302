/* What the administrator has run after a push, as the hook post-receive. */
#ifndef JAILSSH_REFS_AFTER_H
#define JAILSSH_REFS_AFTER_H

/* Run it for what git says on standard input; returns the exit status of the hook.
 *
 * JAILSSH_REPOSITORY is the repository's path; JAILSSH_AFTER is lines "REPOSITORY REFERENCE WORD...", two patterns and
 * a command; JAILSSH_AFTER_SECONDS is the time for all of them. */
int after_push(void);

#endif
