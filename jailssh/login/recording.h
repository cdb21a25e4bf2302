/* The file that a session at a terminal is recorded in. */
#ifndef JAILSSH_RECORDING_H
#define JAILSSH_RECORDING_H

#include "plan.h"

/* With power: make the file of the session ID where the plan asks for one and there is a terminal.  Refuses on failure:
 * what cannot be recorded is not served. */
void record_open(const struct plan *plan, const char *id);

/* Its descriptor, which only adds to it; -1 without one.  The jail's half closes it with all others. */
int record_descriptor(void);

#endif
