/* What the outer half knows of its session. */
#ifndef JAILSSH_STATE_H
#define JAILSSH_STATE_H

#include <stdbool.h>

#include "cast.h"
#include "clock.h"
#include "env.h"
#include "filelog.h"
#include "plan.h"
#include "pump.h"
#include "reason.h"
#include "stream.h"

enum { GRACE = 2, STOP = 10 }; /* seconds until what must end, or a command in a tree that must, is killed */

struct outer {
    const struct plan *plan;
    const struct request *request;
    int channel, pidfd, signals, master;
    pid_t jail, parent;
    char message[1024]; /* the last word of the jail's first process, or empty */
    bool allowed, started, ended, gone;
    int client;                     /* the descriptor of sshd's whose hang-up is the client's end, or -1 */
    long long began, now, moved;    /* on the monotonic clock, in nanoseconds; when a byte last moved */
    long long duration, idle, next; /* nanoseconds, 0 without; NEXT: when to be harder on a session that must end */
    long long late;                 /* when to give the log up, after the end of the jail */
    enum reason reason;             /* why it must end, or R_NONE */
    int steps;                      /* taken to end it */
    struct bucket in, out;
    struct pump pumps[STREAMS];
    struct filelog log;
    struct cast cast;
};

#endif
