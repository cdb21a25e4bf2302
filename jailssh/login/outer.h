/* The outer half of one login: outer.c waits and decides, relay.c moves bytes, report.c tells. */
#ifndef JAILSSH_OUTER_H
#define JAILSSH_OUTER_H

#include <stdbool.h>

#include "filelog.h"
#include "pump.h"
#include "session.h"
#include "stream.h"

struct outer {
    const struct plan *plan;
    const struct request *request;
    int channel, pidfd, signals, master;
    pid_t jail, parent;
    char message[1024]; /* the last word of the jail's first process, or empty */
    bool allowed, started, ended, gone;
    int client;                     /* the descriptor of sshd's whose hang-up is the client's end, or -1 */
    long long began, now, moved;    /* on the monotonic clock, in nanoseconds; when a byte last moved */
    long long duration, idle, next; /* nanoseconds, 0 without; when to be harder on a session that must end */
    long long late;                 /* when to give the log up, after the end of the jail */
    const char *reason;             /* why it must end, or NULL */
    int steps;                      /* taken to end it */
    struct bucket in, out;
    struct pump pumps[STREAMS];
    struct filelog log;
};

/* Now, on the monotonic clock, in nanoseconds. */
long long outer_clock(void);

/* From now on this process makes only the system calls that the outer half needs: another one kills it. */
void outer_confine(pid_t jail);

/* The other ends of the command's streams; the jail has them once. */
void relay_take(struct outer *o, const struct streams *got);

/* One step of the direction WHICH, and what follows where it ends. */
void relay_step(struct outer *o, int which);

/* End one direction, so that the command learns of it. */
void relay_stop(struct outer *o, int which);

/* There is nobody left to read what the jail writes: kill it. */
void relay_without_client(struct outer *o);

/* The jail is gone: take what it has left behind. */
void relay_rest(struct outer *o);

/* Log the start by the message that tells it; false when that is not possible. */
bool report_start(struct outer *o, char *message);

/* Tell the user what there is to tell, log the end, and return the exit status for sshd. */
int report_end(struct outer *o);

#endif
