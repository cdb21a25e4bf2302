/* Lines of a log that become one record of the journal. */
#ifndef JAILSSH_GATHER_H
#define JAILSSH_GATHER_H

#include <stdbool.h>
#include <stddef.h>

/* Most lines of one record, of which each has four fields of its own: journald takes no more than 1,024 of one. */
enum { GATHER_LINES = 240, GATHER_BYTES = 65536 };

struct gathering {
    unsigned count;    /* lines, with those that have been left out */
    size_t used, cost; /* bytes of TEXT; bytes that the record needs for them at most */
    struct gathered {
        size_t at, size, cost;
        size_t path, path_size; /* where in the line the path stands, 0 without one */
        unsigned times;         /* as often the same; 0: left out, since another line says it */
        bool opens;
    } lines[GATHER_LINES];
    char text[GATHER_BYTES];
};

/* Add a line.  False when it has no room beside the others. */
bool gather_add(struct gathering *g, const char *line, size_t size);

/* The lines in it, as many as were said. */
unsigned gather_said(const struct gathering *g);

/* Offer them to the journal as one record, as journal_offer() does, with the number of lines LOST before it. */
int gather_offer(const struct gathering *g, unsigned long long lost);

#endif
