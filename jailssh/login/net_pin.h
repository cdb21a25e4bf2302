/* The network namespace of an account, which all of its sessions and sshd's forwarding for it share. */
#ifndef JAILSSH_NET_PIN_H
#define JAILSSH_NET_PIN_H

#include <stdbool.h>
#include <sys/types.h>

/* Bring up the loopback interface of the network that this process is in; false with errno. */
bool net_loopback_up(void);

/* Put this process into the network namespace of UID, for good; it is made and pinned below RUN_DIR when it is missing,
 * with a loopback interface and nothing else.  Returns NULL, or what failed, with errno; the process must end then, or
 * do nothing for the account. */
const char *net_pin_enter(uid_t uid);

/* True if sshd may forward for UID, whatever the account's groups say by now: a file beside its pin says so. */
bool net_pin_is_wanted(uid_t uid);

#endif
