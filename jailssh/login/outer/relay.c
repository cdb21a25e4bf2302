/* What the outer half moves: the command's streams, where it does not have sshd's own. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "pty.h"
#include "relay.h"

void relay_take(struct outer *o, const struct streams *got)
{
    struct bucket *buckets[STREAMS] = { &o->in, &o->out, &o->out };
    if ((o->master = got->master) >= 0)
        pty_raw();
    for (int which = 0; which < STREAMS; which++) {
        int ours = o->master >= 0 && which != ERRORS ? o->master : got->pipe[which];
        if (ours >= 0)
            pump_start(&o->pumps[which], which, ours, buckets[which]);
    }
    if (got->log >= 0)
        fcntl(o->log.from = got->log, F_SETFL, O_NONBLOCK);
}

void relay_stop(struct outer *o, int which)
{
    struct pump *pump = &o->pumps[which];
    int ours = which == TO_COMMAND ? pump->to : pump->from;
    if (ours >= 0 && ours != o->master)
        close(ours);
    pump_end(pump);
}

void relay_without_client(struct outer *o)
{
    bool linger = plan_first(o->plan, OP_LINGER), tree = plan_first(o->plan, OP_TREE) && !o->steps;
    /* By SIGKILL a kept jail's first process could end nobody but itself; a command in a tree is asked first. */
    kill(o->jail, linger ? SIGHUP : tree ? SIGTERM : SIGKILL);
    if ((linger || tree) && !o->next)
        o->next = o->now + (linger ? GRACE : STOP) * SECOND;
    o->client = -1;
    for (int which = 0; which < STREAMS; which++)
        relay_stop(o, which);
}

/* The command has closed its output.  The end of a socket can be told apart from that of the other direction. */
static void close_output(struct outer *o)
{
    struct stat output, errors;
    struct pollfd other = { .fd = 2 };
    /* What is left to tell that the client has gone; sshd closes it at once where it is a subsystem's. */
    o->client = poll(&other, 1, 0) == 0 ? 2 : -1;
    if (fstat(1, &output) != 0 || fstat(2, &errors) != 0)
        return;
    if (!S_ISSOCK(output.st_mode))
        close(1);
    else if (output.st_ino != errors.st_ino || output.st_dev != errors.st_dev)
        shutdown(1, SHUT_WR);
}

/* What cannot be recorded goes no further. */
static void require_recorded(struct outer *o, bool recorded)
{
    if (recorded || o->reason == R_RECORDING)
        return;
    fail_tell("continue this session");
    o->reason = R_RECORDING;
    relay_without_client(o);
}

static bool record(struct outer *o, int which)
{
    const struct pump *pump = &o->pumps[which];
    return which == TO_COMMAND ? cast_typed(&o->cast, o->master, pump->buffer, pump->have, o->now)
                               : cast_shown(&o->cast, pump->buffer, pump->have, o->now);
}

void relay_resize(struct outer *o)
{
    pty_copy_size(o->master);
    require_recorded(o, cast_resized(&o->cast, o->now));
}

void relay_step(struct outer *o, int which)
{
    struct pump *pump = &o->pumps[which];
    unsigned long long before = pump->moved;
    bool held = pump->state == PUMP_HOLDS;
    enum pumped how = pump_step(pump);
    if (pump->moved != before)
        o->moved = o->now;
    if (!held && pump->state == PUMP_HOLDS && o->master >= 0)
        require_recorded(o, record(o, which));
    if (how == PUMP_GOES)
        return;
    bool terminal = o->master >= 0 && which != ERRORS, at_client = (how == PUMP_NO_SOURCE) == (which == TO_COMMAND);
    if (at_client && (terminal || which == OUTPUT))
        relay_without_client(o);
    else if (which == OUTPUT && !terminal)
        close_output(o);
    relay_stop(o, which);
}

void relay_rest(struct outer *o)
{
    /* It waits for nothing more, since others may hold these streams. */
    for (int which = OUTPUT; which < STREAMS; which++) {
        struct pump *pump = &o->pumps[which];
        while (pump->state == PUMP_EMPTY && pump_wait(pump) == 0) {
            relay_step(o, which);
            if (pump->state == PUMP_EMPTY)
                relay_stop(o, which);
        }
    }
    filelog_finish(&o->log, o->now);
}
