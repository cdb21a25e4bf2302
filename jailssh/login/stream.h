/* The command's standard streams where they are not sshd's own: a terminal, or pipes that the outer half relays. */
#ifndef JAILSSH_STREAM_H
#define JAILSSH_STREAM_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "plan.h"

/* What is relayed, by the descriptor of sshd's at its one end. */
enum { TO_COMMAND, OUTPUT, ERRORS, STREAMS };

/* Inside, before the command: make what PLAN and the rule (LOG) ask for, and hand its other ends over CHANNEL.  In
 * ENDS stand the command's, -1 where it gets sshd's own.  Refuses on failure. */
void stream_open(const struct plan *plan, bool terminal, bool log, int channel, int ends[STREAMS]);

/* In the command's process: make ENDS its descriptors 0-2, and the terminal its controlling one. */
bool stream_become(const int ends[STREAMS], bool terminal);

/* Outside: what came with a message.  -1 where there is none. */
struct streams {
    int master, pipe[STREAMS], log;
};

/* Receive one message of less than SIZE bytes from CHANNEL, as recv(2) without waiting, and what comes with it. */
long stream_receive(int channel, char *message, size_t size, struct streams *out);

/* How much may pass: RATE bytes a second (0: as much as there is), and at once what an eighth of a second lets pass. */
struct bucket {
    long long rate, left;
    long long at; /* when LEFT was true, in nanoseconds */
};
void bucket_fill(struct bucket *bucket, long long now);
/* Nanoseconds until reading is worth while, 0 at once.  Bytes that may be read now. */
long long bucket_wait(const struct bucket *bucket);
size_t bucket_room(const struct bucket *bucket, size_t most);

/* One direction of a relay.  It holds what its target could not take yet, so no direction waits for another, and it
 * reads on only when that is gone, so whoever writes too fast waits. */
struct pump {
    int from, to;
    enum { BY_WRITE, BY_SEND, BY_PIECES } way;
    struct bucket *bucket;
    size_t have, done;
    unsigned long long moved; /* bytes read and written, together */
    char buffer[65536];
};

/* Begin to relay between sshd's descriptor WHICH and OURS, which must be nobody else's. */
void pump_start(struct pump *pump, int which, int ours, struct bucket *bucket);

/* What to poll for.  Nothing while the bucket is empty. */
struct pollfd pump_wants(const struct pump *pump);

/* What to do when poll(2) has answered. */
enum pumped { PUMP_GOES, PUMP_NO_SOURCE, PUMP_NO_TARGET };
enum pumped pump_step(struct pump *pump);

#endif
