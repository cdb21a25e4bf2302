/* The jail's first process: build, drop, and only then look at the request. */
#include "inner.h"
#include "env.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "channel.h"
#include "command/command.h"
#include "command/hold.h"
#include "creds.h"
#include "fail.h"
#include "fd.h"
#include "filter.h"
#include "mount.h"
#include "slot.h"

static void leave(int code, enum reason reason, const char *detail)
{
    channel_say_why(code == EXIT_DENIED ? SAYS_DENIED : SAYS_REFUSED, reason, detail, "");
    _exit(code);
}

/* Close all but the channel, which is returned, and become the user. */
static int drop(const struct plan *plan, int channel)
{
    static gid_t groups[PLAN_MAX_GROUPS]; /* the reader takes no more */
    size_t n = 0;
    channel = fd_keep_only(channel);
    if (channel < 0)
        refuse(R_SETUP, "cannot close the descriptors of the set-up", errno);
    channel_open(channel);
    for (size_t i = 0; i < plan->count; i++)
        if (plan->records[i].verb == OP_GROUP)
            groups[n++] = (gid_t)plan_number(plan->records[i].args[0], 10);
    creds_drop(plan, groups, n);
    return channel;
}

/* Set after the last change of credentials, which clears it.  The outer half's end is this jail's end. */
static void end_with_outer_half(void)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        refuse(R_DROP, "cannot set the parent-death signal", errno);
    if (channel_is_cut())
        _exit(EXIT_REFUSED); /* the outer half is gone already */
}

static void set_name(const struct plan *plan)
{
    const char *name = jail_host_name(plan);
    if (sethostname(name, strlen(name)) != 0)
        refuse(R_SETUP, "cannot set the host name", errno);
}

/* What is refused from here on is said to the outer half. */
static void begin(int channel)
{
    channel_open(channel);
    fail_set_exit(leave);
    slot_leave();
}

static void build(const struct plan *plan, const struct jail *jail)
{
    if (!(jail->shared & CLONE_NEWUTS))
        set_name(plan);
    if (!(jail->shared & CLONE_NEWNS))
        mount_base(jail->tree);
    jail_loopback_up(plan);
    mount_build(plan, jail->mounts);
}

void inner_keep(const struct plan *plan, int channel, const struct jail *jail)
{
    begin(channel);
    build(plan, jail);
    channel = drop(plan, channel);
    if (setsid() < 0)
        refuse(R_SETUP, "cannot create a session for the keeper", errno);
    filter_install();
    hold_jail(plan, channel);
}

int inner_enter(const struct plan *plan, int channel)
{
    bool linger = plan_first(plan, OP_LINGER);
    channel = drop(plan, channel);
    end_with_outer_half();
    /* The logins of one kept jail are not kept apart.  Its namespaces keep all others out but of the host's network. */
    if (creds_can_scope() && (!linger || plan_says(plan, OP_NET, "host")))
        creds_scope(plan_has(plan, OP_WITHIN), !linger);
    filter_install();
    creds_limits(plan);
    return channel;
}

void inner_run(const struct plan *plan, const struct request *request, int channel, const struct jail *jail)
{
    begin(channel);
    if (!plan_first(plan, OP_LINGER))
        build(plan, jail);
    channel = inner_enter(plan, channel);
    command_limits(plan, request->peer);
    bool terminals = isatty(0) || isatty(1) || isatty(2), pty = plan_says(plan, OP_PTY, "yes");
    /* sshd gives a terminal or none.  Who enters may have one and a file besides: then all three go through pipes. */
    bool relayed = pty && isatty(0) && (!request->jail || (isatty(1) && isatty(2)));
    if (!relayed && terminals && !request->jail && (request->command || pty))
        deny(R_NO_TERMINAL, "terminal not allowed for this account; use 'ssh -T'");
    command_run(plan, request, channel, relayed);
}
