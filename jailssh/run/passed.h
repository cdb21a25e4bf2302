/* What a daemon gets of its service manager: sockets that listen already, and the way to tell how it is. */
#ifndef JAILSSH_RUN_PASSED_H
#define JAILSSH_RUN_PASSED_H

#include <stdbool.h>

#include "plan.h"

/* What the first process keeps beside the channel and the sockets, once all others are closed. */
enum passed { PASSED_REPORT, PASSED_FROM, PASSED_TO, PASSED };

/* Close the descriptors of the caller's but 0-2 and the sockets behind that of the plan.  Refuses what is no socket. */
void passed_sanitise(const struct plan *plan);

/* Keep FD as one of the above; -1 for none. */
void passed_set(enum passed which, int fd);
int passed_get(enum passed which);

/* As fd_keep_only(), with what is passed. */
int passed_keep_only(int fd);

/* In the command's process: the sockets are its descriptors 3 and up, and in ENV it is whom they are for.  False with
 * errno. */
bool passed_become(char **env);

#endif
