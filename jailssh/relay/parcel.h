/* The sockets as the service manager keeps them: hundreds of them in the queue of one, since a manager that is given
 * thousands compares each with all (systemd: 12 s of process 1 for 5,000). */
#ifndef JAILSSH_RELAY_PARCEL_H
#define JAILSSH_RELAY_PARCEL_H

#include <stdbool.h>
#include <sys/types.h>

/* Called with each socket of a parcel, which is the callee's to close. */
typedef void parcel_socket(uid_t uid, int fd);

/* Take out of the parcel FD, kept under NAME, a copy of each socket; it stays as it is.  False for what is no parcel.
 */
bool parcel_open(const char *name, int fd, parcel_socket *take);

/* Have the manager keep the sockets of all accounts as they are now, and none that were before. */
void parcel_pack(void);

#endif
