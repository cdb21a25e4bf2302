/* What the jail's first process tells the outer half. */
#ifndef JAILSSH_CHANNEL_H
#define JAILSSH_CHANNEL_H

#include <stdbool.h>

#include "plan.h"
#include "reason.h"

enum { CHANNEL_MAX = 1024 };

/* The letters of the messages, and what follows. */
enum {
    SAYS_ALLOWED = 'A', /* rule, plugin: about to run, or running */
    SAYS_DENIED = 'D',  /* reason, detail, rule */
    SAYS_REFUSED = 'R',
    SAYS_NOT_FOUND = 'F',
    SAYS_STREAMS = 'S', /* with the other ends of the command's streams (stream.h) */
    SAYS_ENDED = 'X',   /* exit status, CPU time in microseconds, largest resident set in KiB */
};

/* The inner end, in the jail's first process. */
void channel_open(int channel);
void channel_say(char what, const char *first, const char *second, const char *third);
void channel_say_why(char what, enum reason reason, const char *detail, const char *rule);

/* Whether nothing is executed before the outer half has answered SAYS_ALLOWED with a byte: where the journal is
 * required, or the session is recorded, a failure must come first. */
bool channel_waits(const struct plan *plan);

/* True once the outer half is gone. */
bool channel_is_cut(void);

/* The outer end: the three texts of MESSAGE, which is cut to pieces. */
void channel_parts(char *message, const char *part[3]);

#endif
