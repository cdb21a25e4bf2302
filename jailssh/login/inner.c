/* The jail's first process: build, drop, and only then look at the request. */
#include "inner.h"
#include "env.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "command/command.h"
#include "command/limit.h"
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

static void drop(const struct plan *plan, int channel)
{
    static gid_t groups[PLAN_MAX_GROUPS]; /* the reader takes no more */
    size_t n = 0;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->records[i].verb == OP_GROUP)
            groups[n++] = (gid_t)plan_number(plan->records[i].args[0], 10);
    creds_drop(plan, groups, n);
    /* Set after the last change of credentials, which clears it.  The outer half's end is this jail's end. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        refuse(R_DROP, "cannot set the parent-death signal", errno);
    char byte;
    if (recv(channel, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        _exit(EXIT_REFUSED); /* the outer half is gone already */
}

static void set_name(const struct plan *plan)
{
    const char *name = jail_host_name(plan);
    if (sethostname(name, strlen(name)) != 0)
        refuse(R_SETUP, "cannot set the host name", errno);
}

void inner_run(const struct plan *plan, const struct request *request, int channel, const struct jail *jail)
{
    channel_open(channel);
    fail_set_exit(leave);
    slot_leave();
    if (!(jail->shared & CLONE_NEWUTS))
        set_name(plan);
    if (!(jail->shared & CLONE_NEWNS))
        mount_base(jail->tree);
    jail_loopback_up(plan);
    mount_build(plan, jail->mounts);
    channel = fd_keep_only(channel);
    if (channel < 0)
        refuse(R_SETUP, "cannot close the descriptors of the set-up", errno);
    channel_open(channel);
    drop(plan, channel);
    if (creds_can_scope())
        creds_scope(plan_has(plan, OP_WITHIN));
    filter_install();
    creds_limits(plan);
    limit_enforce(plan, request->peer);
    bool terminal = isatty(0), relayed = terminal && plan_says(plan, OP_PTY, "yes");
    if (!relayed && (terminal || isatty(1) || isatty(2)) && (request->command || plan_says(plan, OP_PTY, "yes")))
        deny(R_NO_TERMINAL, "terminal not allowed for this account; use 'ssh -T'");
    command_run(plan, request, channel, relayed);
}
