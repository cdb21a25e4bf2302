/* The log of file operations: what a program writes to its standard error, in the journal. */
#ifndef JAILSSH_FILELOG_H
#define JAILSSH_FILELOG_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

#include "gather.h"
#include "operation.h"

struct filelog {
    int from;   /* the socket, in packets; -1 when all has been read */
    bool whole; /* LINE has no room beside the others */
    bool hurry; /* the session has ended: nothing is paced any more */
    size_t have;
    long long due, rest, paced; /* nanoseconds: when to send a record, to read again; when the next may be sent */
    unsigned long long lost;    /* lines that the journal did not take */
    char line[LINE_MAX_KEPT + 1];
    struct gathering gathered;
};

/* What to poll for: a packet, or that the journal takes a record.  And the moment at which there is something to do
 * without either, 0 for never. */
struct pollfd filelog_wants(const struct filelog *log, long long now);
long long filelog_next(const struct filelog *log, long long now);

/* What can be done now, without waiting. */
enum logged { LOG_GOES, LOG_WAITS, LOG_LOST };
enum logged filelog_step(struct filelog *log, long long now);

/* True while there is something to be read or to be sent. */
bool filelog_busy(const struct filelog *log);

/* The jail is gone: read what it has left.  And: the journal has not taken the last of it in time. */
void filelog_finish(struct filelog *log, long long now);
void filelog_give_up(struct filelog *log);

#endif
