/* One login: the outer half (host side, dropped to the user) and the jail's first process. */
#ifndef JAILSSH_SESSION_H
#define JAILSSH_SESSION_H

#include "plan.h"
#include "request.h"

/* Messages from the jail's first process to the outer half, one datagram each: a letter and text. */
enum {
    SAYS_ALLOWED = 'A', /* rule, plugin: about to run, or running */
    SAYS_DENIED = 'D',  /* reason, detail */
    SAYS_REFUSED = 'R',
    SAYS_NOT_FOUND = 'F',
    SAYS_STREAMS = 'S', /* with the other ends of the command's streams (stream.h) */
    SAYS_ENDED = 'X',   /* exit status, CPU time in microseconds, largest resident set in KiB */
};

/* The jail's first process; never returns. */
void inner_run(const struct plan *plan, const struct request *request, int channel, bool base);

/* Tell the outer half: a letter of the above and up to three texts. */
void inner_say(char what, const char *first, const char *second, const char *third);

/* After the drop, in the jail's first process; never returns. */
void command_run(const struct plan *plan, const struct request *request, int channel, bool terminal);

/* The outer half after the clone; returns the exit status.  pid and pidfd are of the jail's first process. */
int outer_run(const struct plan *plan, const struct request *request, int channel, pid_t pid, int pidfd, pid_t parent);

#endif
