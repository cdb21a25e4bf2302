/* Takes messages from the sockets of jails. */
#ifndef JAILSSH_RELAY_TAKE_H
#define JAILSSH_RELAY_TAKE_H

#include "state.h"

bool take_prepare(void);

/* Take what one of OF's sockets holds, a few messages at most.  NOW in nanoseconds. */
void take_from(struct account *of, int fd, int64_t now);

/* Tell the journal what was dropped of OF's; true if there is still something to be told later. */
bool take_report(struct account *of, int64_t now);

#endif
