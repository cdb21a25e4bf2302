/* A terminal of the jail's own, relayed by the outer half: no jailed process ever holds the terminal of sshd. */
#ifndef JAILSSH_PTY_H
#define JAILSSH_PTY_H

/* Inside, as the user: open a terminal of the jail's devpts with the modes and size of descriptor 0.  Returns it, and
 * its master in *MASTER.  Refuses on failure. */
int pty_open(int *master);

/* Outside: raw mode for sshd's terminal, without waiting for its reader, and back. */
void pty_raw(void);
void pty_restore(void);
void pty_copy_size(int master);

#endif
