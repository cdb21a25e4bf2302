/* What the service manager gives and keeps: sd_listen_fds(3), sd_notify(3). */
#ifndef JAILSSH_RELAY_NOTIFY_H
#define JAILSSH_RELAY_NOTIFY_H

#include <stddef.h>

/* Call TAKE with each descriptor that was handed over and its name. */
void notify_given(void (*take)(int fd, const char *name));

/* Tell the manager; without one nothing happens.  FD, if it is not -1, goes along. */
void notify(const char *state, int fd);

/* Have the manager keep FD under this name for the next relay; or let go of all of this name. */
void notify_keep(const char *name, int fd);
void notify_let_go(const char *name);

#endif
