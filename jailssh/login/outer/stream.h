/* The command's standard streams where they are not sshd's own: a terminal, or pipes that the outer half relays. */
#ifndef JAILSSH_STREAM_H
#define JAILSSH_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "plan.h"

/* What is relayed, by the descriptor of sshd's at its one end. */
enum { TO_COMMAND, OUTPUT, ERRORS, STREAMS };

/* Inside, before the command: make what PLAN and the rule (LOG) ask for, or PIPES, and hand its other ends over
 * CHANNEL. In ENDS stand the command's, -1 where it gets sshd's own.  Refuses on failure. */
void stream_open(const struct plan *plan, bool terminal, bool pipes, bool log, int channel, int ends[STREAMS]);

/* Inside: hand over just the terminal MASTER, which is closed. */
void stream_give_master(int channel, int master);

/* In the command's process: make ENDS its descriptors 0-2, and the terminal its controlling one. */
bool stream_become(const int ends[STREAMS], bool terminal);

/* Outside: what came with a message.  -1 where there is none. */
struct streams {
    int master, pipe[STREAMS], log;
};

/* Receive one message of less than SIZE bytes from CHANNEL, as recv(2) without waiting, and what comes with it. */
long stream_receive(int channel, char *message, size_t size, struct streams *out);

#endif
