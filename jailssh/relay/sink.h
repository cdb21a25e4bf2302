/* Where records go: the journal, or a syslog daemon where there is no journal. */
#ifndef JAILSSH_RELAY_SINK_H
#define JAILSSH_RELAY_SINK_H

#include <stdint.h>

/* Where the receiver has room again, the event EVENT comes at EPOLL, which is to be told here.  To be called first. */
void sink_wakes(int epoll, uint64_t event);
void sink_has_room(void);

/* Send what waits, as much as is taken without waiting.  Returns the milliseconds until it is worth another try, -1
 * when nothing waits.  NOW in nanoseconds. */
int sink_flush(int64_t now);

#endif
