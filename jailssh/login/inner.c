/* The jail's first process: build, drop, and only then look at the request. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "creds.h"
#include "fail.h"
#include "limit.h"
#include "mount.h"
#include "session.h"

static int to_outer = -1;

void inner_say(char what, const char *first, const char *second, const char *third)
{
    char message[1024];
    int n = snprintf(message, sizeof message, "%c%s\n%s\n%s", what, first, second, third);
    (void)!send(to_outer, message, n < (int)sizeof message ? (size_t)n : sizeof message, MSG_NOSIGNAL);
}

static void leave(int code, const char *reason, const char *detail)
{
    inner_say(code == EXIT_DENIED ? SAYS_DENIED : SAYS_REFUSED, reason, detail, "");
    _exit(code);
}

static void drop(const struct plan *plan)
{
    static gid_t groups[PLAN_MAX_GROUPS]; /* the reader takes no more */
    size_t n = 0;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->records[i].verb == OP_GROUP)
            groups[n++] = (gid_t)plan_number(plan->records[i].args[0], 10);
    creds_drop(plan, groups, n);
    /* Set after the last change of credentials, which clears it.  The outer half's end is this jail's end. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        refuse("drop", "cannot tie the jail to its login", errno);
    char byte;
    if (recv(to_outer, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        _exit(EXIT_REFUSED); /* the outer half is gone already */
}

static void set_name(const struct plan *plan)
{
    char *const *name = plan_first(plan, OP_HOSTNAME);
    const char *host = name ? name[0] : "jail";
    if (sethostname(host, strlen(host)) != 0)
        refuse("setup", "cannot set the host name", errno);
}

void inner_run(const struct plan *plan, const struct request *request, int channel, bool base)
{
    to_outer = channel;
    fail_set_exit(leave);
    set_name(plan);
    mount_build(plan, base);
    drop(plan);
    if (creds_can_scope())
        creds_scope();
    creds_filter(plan);
    creds_limits(plan);
    limit_enforce(plan, request->peer);
    bool terminal = isatty(0), relayed = terminal && plan_says(plan, OP_PTY, "yes");
    if (!relayed && (terminal || isatty(1) || isatty(2)) && (request->command || plan_says(plan, OP_PTY, "yes")))
        deny("no-terminal", "this account gets no terminal; use ssh -T");
    command_run(plan, request, to_outer, relayed);
}
