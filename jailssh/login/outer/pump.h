/* How much may pass, and one direction of a relay: it is empty, holds what its target has not taken, or has ended. */
#ifndef JAILSSH_PUMP_H
#define JAILSSH_PUMP_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

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
    enum { PUMP_ENDED, PUMP_EMPTY, PUMP_HOLDS } state;
    int from, to; /* -1 when it has ended */
    enum { BY_WRITE, BY_SEND, BY_PIECES } way;
    /* The source is a terminal, which gives 4 KiB at most, however much there is; ours alone, since what is sshd's or
     * the caller's may block, and with it all that the outer half watches. */
    bool in_pieces;
    struct bucket *bucket;    /* may be another direction's too */
    size_t have, done;        /* while it holds something: of the buffer, and of that what is delivered */
    unsigned long long moved; /* bytes read and written, together */
    char buffer[65536];
};

/* Begin to relay between sshd's descriptor WHICH and OURS, which must be nobody else's; and stop. */
void pump_start(struct pump *pump, int which, int ours, struct bucket *bucket);
void pump_end(struct pump *pump);

/* What to poll for: the target while it holds something, the source while there is room, else nothing.  Then the
 * nanoseconds until there is room, 0 where it does not wait for that. */
struct pollfd pump_wants(const struct pump *pump);
long long pump_wait(const struct pump *pump);

/* What to do when poll(2) has answered, whatever has been done since.  An end is what read(2) or write(2) has told. */
enum pumped { PUMP_GOES, PUMP_NO_SOURCE, PUMP_NO_TARGET };
enum pumped pump_step(struct pump *pump);

#endif
