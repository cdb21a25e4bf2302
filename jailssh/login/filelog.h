/* The log of file operations: what a program writes to its standard error, in the journal. */
#ifndef JAILSSH_FILELOG_H
#define JAILSSH_FILELOG_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

/* What one line of sftp-server(8) says, as pointers into it; NULL what it does not say beyond doubt. */
struct operation {
    const char *name, *path, *new_path, *bytes_read, *bytes_written;
};

/* Take LINE apart, in place.  False: it is not about a file. */
bool operation_parse(char *line, struct operation *out);

enum { LINE_MAX_KEPT = 4098 }; /* more than the journal's fields hold, which mark what they cut */

struct filelog {
    int from;   /* the socket, in packets; -1 when all has been read */
    bool whole; /* LINE waits for the journal */
    size_t have;
    char line[LINE_MAX_KEPT + 1];
};

/* What to poll for: a packet, or that the journal takes the line. */
struct pollfd filelog_wants(const struct filelog *log);

/* What to do when poll(2) has answered, or without asking it. */
enum logged { LOG_GOES, LOG_WAITS, LOG_LOST };
enum logged filelog_step(struct filelog *log);

#endif
