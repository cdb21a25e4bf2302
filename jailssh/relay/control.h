/* What root tells the relay: whose sockets there are. */
#ifndef JAILSSH_RELAY_CONTROL_H
#define JAILSSH_RELAY_CONTROL_H

#include <stdbool.h>

#include "state.h"

/* Called with each socket that comes in, and each that goes. */
typedef void control_socket(struct account *of, int fd, bool comes);

/* Serve a connection for as long as the peer has something to say; false when it is over. */
bool control_serve(int fd, control_socket *changed);

/* Take a socket of this account that the service manager has kept. */
void control_take_kept(uid_t uid, int fd, control_socket *changed);

/* True if the peer of this connection is root. */
bool control_is_root(int fd);

#endif
