/* A terminal of the jail's own, relayed by the outer half: no jailed process ever holds the terminal of sshd. */
#ifndef JAILSSH_PTY_H
#define JAILSSH_PTY_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

/* Inside, as the user: open a terminal of the jail's devpts with the modes and size of descriptor 0, pass its master
 * over CHANNEL, return the terminal.  Refuses on failure. */
int pty_open(int channel);

/* In the command's process: make the terminal its controlling terminal and descriptors 0-2. */
bool pty_become_terminal(int terminal);

/* Outside: receive one message of at most SIZE bytes, and the master if one came with it. */
long pty_receive(int channel, char *message, size_t size, int *master);

/* Outside: raw mode for sshd's terminal, and back. */
void pty_raw(void);
void pty_restore(void);
void pty_copy_size(int master);

/* One direction of the relay.  It holds what its target could not take yet, so neither direction waits for the
 * other. */
struct pump {
    int from, to;
    size_t have, done;
    char buffer[4096];
};

/* What to poll for, and what to do when poll(2) has answered.  pump_step is false at the end of the source. */
struct pollfd pump_wants(const struct pump *pump);
bool pump_step(struct pump *pump);

#endif
