/* What a message of syslog(3) says of itself. */
#ifndef JAILSSH_RELAY_LINE_H
#define JAILSSH_RELAY_LINE_H

#include <stddef.h>

struct text {
    const char *at;
    size_t length;
};

/* PRIORITY from 0 to 7, FACILITY from 0 to 23; the others empty where nothing is said. */
struct said {
    int priority, facility;
    struct text tag, message;
};

/* Read <PRI>, a date, TAG[PID]: and the text, each of which may be missing; what is not said stays as it is. */
void line_read(const char *text, size_t length, struct said *said);

#endif
