/* What the outer half tells the user and the journal. */
#ifndef JAILSSH_REPORT_H
#define JAILSSH_REPORT_H

#include "state.h"

/* Log the start by the message that tells it; false when that is not possible. */
bool report_start(struct outer *o, char *message);

/* Tell the user what there is to tell, log the end, and return the exit status for sshd. */
int report_end(struct outer *o);

#endif
