/* The jail: its namespaces, and what its first process needs to build it. */
#ifndef JAILSSH_JAIL_H
#define JAILSSH_JAIL_H

#include <sys/types.h>

#include "plan.h"

struct jail {
    int image;            /* the directory (O_PATH) */
    int *mounts;          /* what the plan shows of the host, mount_open_sources() */
    int tree;             /* the image as a detached mount, where no mount namespace of its is pinned; else -1 */
    unsigned long shared; /* CLONE_NEW* of the namespaces that were entered, pin_enter() */
    int pidfd;            /* of the first process, in the outer half */
};

const char *jail_host_name(const struct plan *plan);

/* Bring up the loopback interface of a network that is this login's own. */
void jail_loopback_up(const struct plan *plan);

/* clone(2) into these namespaces (CLONE_NEW*), with a descriptor of the new process.  Returns as fork(2) does. */
pid_t jail_clone_into(unsigned long namespaces, int *pidfd);

/* Open what the plan shows of the host, enter the namespaces that logins share, give up what can be given up before the
 * jail exists, and clone(2) into the other namespaces.  Returns as fork(2) does. */
pid_t jail_clone(const struct plan *plan, struct jail *jail);

/* clone(2) into a jail whose namespaces have been entered, with a cgroup namespace of its own.  Likewise, or -1. */
pid_t jail_join(struct jail *jail);

/* Close what was opened for the jail, whose first process has it all: the outer half has no directory of the host's. */
void jail_close(const struct plan *plan, const struct jail *jail);

#endif
