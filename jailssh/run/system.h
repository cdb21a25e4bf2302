/* A whole system: an init of its own as the first process, in a user namespace with a range of ids of its own. */
#ifndef JAILSSH_RUN_SYSTEM_H
#define JAILSSH_RUN_SYSTEM_H

#include <stdbool.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#include "plan.h"

bool system_is_wanted(const struct plan *plan);

/* From outside, before there are namespaces: on the host's network /sys is the host's, which no other user namespace
 * can mount (sysfs belongs to a network); of it without what is mounted below, read-only.  Refuses. */
void system_open(const struct plan *plan);

/* On the host's network, where the kernel can: abstract sockets of whoever is outside are out of reach.  Refuses. */
void system_scope(const struct plan *plan);

/* From outside, before the first process PID goes on: put it into the plan's control groups, and have the files of the
 * detached mount TREE belong to its ids.  Refuses. */
void system_prepare(pid_t pid, int tree);

/* Inside, in the tree ROOT: its /sys, and its own control groups. */
void system_mounts(int root);

/* Inside, once the tree is the root: what is mounted can be passed on, a terminal is its /dev/console and descriptors 0
 * to 2, and the other end of that goes by CHANNEL to who has started it. */
void system_console(int channel);

/* After the drop: be the plan's command. */
noreturn void system_start(const struct plan *plan);

/* Outside: what CHANNEL brings is there once the tree is built; -1 where the first process, PIDFD, has ended before. */
int system_await(int channel, int pidfd);

/* What the program exits with when the system wants to be started again. */
enum { SYSTEM_REBOOTS = 133 };

/* Outside, without power: write to the plan's log, else to standard error, what MASTER shows, until PIDFD ends. Returns
 * an exit status by how it did: 0 switched off, SYSTEM_REBOOTS, 1 failed. */
int system_watch(const struct plan *plan, int master, int pidfd);

#endif
