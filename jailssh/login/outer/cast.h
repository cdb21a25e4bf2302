/* The recording of a terminal: asciicast, version 2 (docs.asciinema.org), one line an event. */
#ifndef JAILSSH_CAST_H
#define JAILSSH_CAST_H

#include <stdbool.h>
#include <stddef.h>

#include "env.h"
#include "plan.h"

/* What was read of a character whose end is still to come. */
struct unfinished {
    unsigned char bytes[4];
    size_t count;
};

struct cast {
    int file;                /* -1 without a recording */
    bool input;              /* what is typed too, while the terminal echoes it */
    long long began;         /* on the monotonic clock, in nanoseconds */
    unsigned long long room; /* bytes that it may still take */
    struct unfinished typed, shown;
};

/* Begin the recording on FILE, -1 for none, as the plan says.  All return false where it cannot go on, with errno:
 * EFBIG where it is as long as it may be. */
bool cast_begin(struct cast *cast, int file, const struct plan *plan, const struct request *request, long long now);

/* What the terminal at MASTER has shown, or what was typed into it. */
bool cast_shown(struct cast *cast, const char *data, size_t size, long long now);
bool cast_typed(struct cast *cast, int master, const char *data, size_t size, long long now);

/* The terminal has another size. */
bool cast_resized(struct cast *cast, long long now);

#endif
