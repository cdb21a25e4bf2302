/* Outside: dropped to the user, in the empty namespace; waits, relays, passes signals on, logs. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "confine.h"
#include "creds.h"
#include "env.h"
#include "fail.h"
#include "nojournal.h"
#include "outer.h"
#include "pty.h"
#include "recording.h"
#include "relay.h"
#include "report.h"
#include "sftp.h"
#include "state.h"

/* Seconds: more than any session may last; what a journal that takes nothing gets for the last of the log. */
enum { LONGEST = 1000000000, LAST_WORDS = 10 };

static void on_message(struct outer *o)
{
    char text[sizeof o->message];
    struct streams got;
    long n = stream_receive(o->channel, text, sizeof text, &got);
    /* The second: it ended with something of ours unread, and what it said last is still to come. */
    if (n < 0 && (errno == EAGAIN || errno == ECONNRESET))
        return;
    if (n <= 0) { /* the jail's first process is gone */
        close(o->channel);
        o->channel = -1;
    } else if (text[0] == SAYS_STREAMS) {
        relay_take(o, &got);
    } else if (text[0] == SAYS_ALLOWED) {
        bool logged = report_start(o, text), required = plan_says(o->plan, OP_JOURNAL, "require");
        o->allowed = true;
        if (required && !logged)
            shutdown(o->channel, SHUT_WR);
        else if (channel_waits(o->plan))
            (void)!send(o->channel, "", 1, MSG_NOSIGNAL);
    } else {
        memcpy(o->message, text, (size_t)n + 1);
        o->ended = true;
    }
}

static void on_signal(struct outer *o)
{
    struct signalfd_siginfo info;
    if (read(o->signals, &info, sizeof info) != sizeof info)
        return;
    int number = (int)info.ssi_signo;
    if (number == SIGWINCH && o->master >= 0)
        relay_resize(o);
    else if (number == SIGHUP && o->parent && getppid() != o->parent)
        relay_without_client(o); /* sshd is gone, and nothing of the session may survive it */
    else if (number != SIGCHLD && number != SIGPIPE)
        kill(o->jail, number);
    if (number == SIGTERM && plan_first(o->plan, OP_TREE) && !o->next)
        o->next = o->now + STOP * SECOND;
}

static void on_end_of_jail(struct outer *o)
{
    while (o->channel >= 0 && !o->ended) /* what was said before the end */
        on_message(o);
    o->gone = true;
    o->late = o->now + LAST_WORDS * SECOND;
    relay_stop(o, TO_COMMAND);
}

/* Tell the user, if that is possible at once, and let the command end by itself: a shell writes its history, a program
 * takes its temporary files away. */
static void end_session(struct outer *o, enum reason reason, long long time)
{
    const char *edge = o->master >= 0 ? "\r\n" : "", *how = reason == R_IDLE ? "idle for " : "time limit reached (";
    long long seconds = time / SECOND, unit = seconds % 3600 == 0 ? 3600 : seconds % 60 == 0 ? 60 : 1;
    fail_say("%sjailssh: session closed: %s%lld%c%s%s", edge, how, seconds / unit, "smh"[(unit > 1) + (unit > 60)],
             reason == R_IDLE ? "" : ")", *edge ? edge : "\n");
    o->reason = reason;
    o->next = o->now + GRACE * SECOND;
    kill(o->jail, SIGHUP);
}

static void check_time(struct outer *o)
{
    if (!o->reason && o->duration && o->now - o->began >= o->duration)
        end_session(o, R_DURATION, o->duration);
    else if (!o->reason && o->idle && o->now - o->moved >= o->idle)
        end_session(o, R_IDLE, o->idle);
    if (!o->next || o->now < o->next)
        return;
    if (o->steps++ == 0)
        kill(o->jail, SIGKILL);
    else
        relay_without_client(o); /* who does not take the last of it */
    o->next = o->now + GRACE * SECOND;
}

/* Milliseconds until something has to be done that no descriptor tells, -1 for ever. */
static int patience(const struct outer *o)
{
    long long until = LLONG_MAX;
    const long long times[] = { o->next, o->reason || !o->duration ? 0 : o->began + o->duration,
                                o->reason || !o->idle ? 0 : o->moved + o->idle,
                                o->gone && filelog_busy(&o->log) ? o->late : 0,
                                o->allowed || o->gone ? filelog_next(&o->log, o->now) : 0 };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++)
        if (times[i] && times[i] < until)
            until = times[i];
    for (int which = 0; which < STREAMS; which++) {
        long long wait = pump_wait(&o->pumps[which]);
        if (wait > 0 && o->now + wait < until)
            until = o->now + wait;
    }
    if (until == LLONG_MAX)
        return -1;
    long long rest = until > o->now ? (until - o->now + 999999) / 1000000 : 0;
    return rest < 3600000 ? (int)rest : 3600000;
}

enum { JAIL, SIGNALS, CHANNEL, LOG, CLIENT, KEYS, PUMPS, SLOTS = PUMPS + STREAMS };

static void set_clock(struct outer *o)
{
    o->now = clock_now();
    bucket_fill(&o->in, o->now);
    bucket_fill(&o->out, o->now);
}

/* The journal has not taken something. */
static void on_loss(struct outer *o)
{
    if (o->reason || !plan_says(o->plan, OP_JOURNAL, "require"))
        return;
    fail_tell("continue this session");
    o->reason = R_JOURNAL;
    o->next = o->now;
}

static void work_on_log(struct outer *o)
{
    if ((o->allowed || o->gone) && filelog_busy(&o->log) && filelog_step(&o->log, o->now) == LOG_LOST)
        on_loss(o);
    if (o->gone && filelog_busy(&o->log) && o->now >= o->late) {
        filelog_give_up(&o->log);
        on_loss(o);
    }
}

static bool work_left(struct outer *o)
{
    if (!o->gone)
        return true;
    relay_rest(o);
    return o->pumps[OUTPUT].state || o->pumps[ERRORS].state || filelog_busy(&o->log);
}

/* Poll until the jail is gone and all that it wrote is where it belongs. */
static void wait_for_jail(struct outer *o)
{
    for (set_clock(o); work_left(o); set_clock(o)) {
        struct pollfd polled[SLOTS] = {
            [JAIL] = { .fd = o->gone ? -1 : o->pidfd, .events = POLLIN },
            [SIGNALS] = { .fd = o->signals, .events = POLLIN },
            [CHANNEL] = { .fd = o->gone ? -1 : o->channel, .events = POLLIN },
            /* Only whether they hang up, and always: a relay may wait for something else for as long as it likes. */
            [CLIENT] = { .fd = o->client },
            [KEYS] = { .fd = o->client >= 0 && o->master >= 0 ? 0 : -1 },
            [LOG] = o->allowed || o->gone ? filelog_wants(&o->log, o->now) : (struct pollfd){ .fd = -1 },
        };
        for (int which = 0; which < STREAMS; which++)
            polled[PUMPS + which] = pump_wants(&o->pumps[which]);
        if (poll(polled, SLOTS, patience(o)) < 0)
            continue;
        set_clock(o);
        if (polled[SIGNALS].revents)
            on_signal(o);
        if (polled[CHANNEL].revents)
            on_message(o);
        work_on_log(o);
        for (int which = 0; which < STREAMS; which++)
            if (polled[PUMPS + which].revents)
                relay_step(o, which);
        if ((polled[CLIENT].revents | polled[KEYS].revents) & (POLLERR | POLLHUP) && o->client >= 0)
            relay_without_client(o);
        check_time(o);
        if (!o->gone && (polled[JAIL].revents || o->ended))
            on_end_of_jail(o);
    }
    pty_restore();
}

/* Nanoseconds in a record of seconds, 0 without one. */
static long long time_of(const struct plan *plan, enum plan_verb verb)
{
    char *const *args = plan_first(plan, verb);
    unsigned long seconds = args ? plan_number(args[0], 10) : 0;
    return (seconds < LONGEST ? (long long)seconds : LONGEST) * SECOND;
}

/* What root's commands know this session by: the name of an empty file that is nowhere and nobody else's, which the
 * kernel shows to root (proc_pid_fd(5)) for as long as this process lives.  A session works without. */
static void mark(const struct plan *plan, const struct request *request)
{
    enum { MOST = 249, NO_EXEC = 8 }; /* bytes that it may have (memfd_create(2)); MFD_NOEXEC_SEAL */
    char name[MOST + 1];
    snprintf(name, sizeof name, "jailssh %s %s %s %s%s", request->session, plan->serial, request->key,
             request->jail ? "@" : "", plan_first(plan, OP_JAIL)[0]);
    if (memfd_create(name, MFD_CLOEXEC | NO_EXEC) < 0 && errno == EINVAL) /* before Linux 6.3 */
        (void)!memfd_create(name, MFD_CLOEXEC);
}

static void set_up(struct outer *o)
{
    char *const *bandwidth = plan_first(o->plan, OP_BANDWIDTH);
    o->master = o->log.from = -1;
    /* Whose output goes elsewhere has a command that learns of its end by itself: it is none of ours. */
    o->client = plan_first(o->plan, OP_TREE) && !plan_says(o->plan, OP_PTY, "yes") ? -1 : 1;
    o->began = o->moved = clock_now();
    o->duration = time_of(o->plan, OP_DURATION);
    o->idle = time_of(o->plan, OP_IDLE);
    o->in.rate = o->out.rate = bandwidth ? (long long)plan_number(bandwidth[0], 10) : 0;
    for (int which = 0; which < STREAMS; which++)
        pump_end(&o->pumps[which]);
}

/* What logs in this session is known by the name of this process, which the relay can read without power, as it cannot
 * what mark() leaves: ../../relay/session.c has the form. */
static void name_process(const char *session)
{
    char name[] = "jail-----------";
    unsigned long long number = strtoull(session, NULL, 16);
    for (size_t i = sizeof "jail" - 1; i < sizeof name - 1; i++, number >>= 6)
        name[i] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-"[number & 63];
    (void)prctl(PR_SET_NAME, name);
}

void outer_become(const struct plan *plan, const struct request *request)
{
    creds_drop(plan, NULL, 0);
    name_process(request->session);
    mark(plan, request);
}

int outer_run(const struct plan *plan, const struct request *request, int channel, pid_t pid, int pidfd, pid_t parent)
{
    static struct outer o; /* its buffers take no memory until they are used */
    sigset_t all;
    o.plan = plan;
    o.request = request;
    o.channel = channel;
    o.pidfd = pidfd;
    o.jail = pid;
    o.parent = parent;
    set_up(&o);
    if (!plan_says(plan, OP_PTY, "yes") && !o.in.rate && !o.idle && !request->jail && !sftp_is_wanted(request))
        close(0); /* the command's alone: its end must be the end for sshd too */
    sigfillset(&all);
    o.signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (o.signals < 0 || (parent && prctl(PR_SET_PDEATHSIG, SIGHUP) != 0)) {
        kill(pid, SIGKILL);
        refuse(R_SETUP, "cannot monitor the session", errno);
    }
    if (!cast_begin(&o.cast, record_descriptor(), plan, request, o.began)) {
        int error = errno;
        kill(pid, SIGKILL);
        refuse(R_RECORDING, "cannot write the recording", error);
    }
    if (parent && getppid() != parent)
        kill(pid, SIGKILL);
    nojournal_settle();
    outer_confine(pid);
    wait_for_jail(&o);
    return report_end(&o);
}
