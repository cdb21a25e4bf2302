#include "jail.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "creds.h"
#include "fail.h"
#include "filter.h"
#include "mount.h"
#include "net_pin.h"
#include "pin.h"

/* Never shared: the pinned mount namespace is what a login's own is a copy of. */
enum { OWN = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWCGROUP };

pid_t jail_clone_into(unsigned long namespaces, int *pidfd)
{
    unsigned long flags = namespaces | CLONE_PIDFD | SIGCHLD;
#if defined __s390__
    return (pid_t)syscall(SYS_clone, NULL, flags, pidfd, NULL, NULL);
#elif defined __x86_64__ || defined __i386__ || defined __aarch64__ || defined __arm__ || defined __riscv ||           \
    defined __powerpc__ || defined __mips__ || defined __loongarch__
    return (pid_t)syscall(SYS_clone, flags, NULL, pidfd, NULL, NULL);
#else
#error "clone(2) takes its arguments in another order on some architectures: say here which this one has"
#endif
}

/* True where the user can have code of their own run, which can take any name of a socket. */
static bool runs_code(const struct plan *plan)
{
    size_t rule = 0;
    for (size_t i = 0; i < plan->count; i++) {
        char *const *args = plan->records[i].args;
        enum plan_verb verb = plan->records[i].verb;
        rule = verb == OP_RULE ? i : rule;
        if ((verb == OP_BIND && strcmp(args[2], "rw") == 0 && strcmp(args[3], "exec") == 0) ||
            (verb == OP_INTERACTIVE && !rule_first(plan, rule, OP_ANSWER)) ||
            (verb == OP_WORD && strcmp(args[0], "*") == 0))
            return true;
    }
    return false;
}

/* The namespaces that this login can share with others: those without anything in them that somebody can reach. */
static unsigned long shareable(const struct plan *plan)
{
    if (plan_first(plan, OP_LINGER)) /* nothing that outlives a login is anybody else's too */
        return 0;
    unsigned long found = filter_denies_ipc() ? CLONE_NEWIPC : 0;
    /* The empty network namespace is shared, so abstract sockets must be kept apart by other means; these leave the
     * names taken, and a /proc would show the names of everybody's sockets (proc_net(5)). */
    if (plan_says(plan, OP_NET, "none") && !plan_first(plan, OP_PROC) && !runs_code(plan) && creds_can_scope())
        found |= CLONE_NEWNET;
    return found;
}

const char *jail_host_name(const struct plan *plan)
{
    char *const *name = plan_first(plan, OP_HOSTNAME);
    return name ? name[0] : "jail";
}

/* Enter the namespaces that this login shares with others. */
static void share(const struct plan *plan, struct jail *jail)
{
    unsigned long net = plan_says(plan, OP_NET, "account") ? CLONE_NEWNET : 0;
    if (net && net_pin_enter(plan->uid))
        refuse(R_KERNEL, "cannot enter the network of the account", errno);
    jail->shared = net | pin_enter(jail->image, jail_host_name(plan), shareable(plan));
    jail->tree = jail->shared & CLONE_NEWNS ? -1 : mount_take_image(jail->image);
}

/* Where the host's own administrator may not do it (a container without CAP_NET_ADMIN) the jail has a network without
 * anything in it, as with none. */
void jail_loopback_up(const struct plan *plan)
{
    if (plan_says(plan, OP_NET, "loopback") && !net_loopback_up() && errno != EPERM && errno != EAFNOSUPPORT)
        refuse(R_SETUP, "cannot bring up the loopback interface", errno);
}

pid_t jail_clone(const struct plan *plan, struct jail *jail)
{
    jail->mounts = mount_open_sources(plan);
    share(plan, jail);
    creds_prepare();
    unsigned long net = plan_says(plan, OP_NET, "host") ? 0 : CLONE_NEWNET;
    unsigned long others = (CLONE_NEWIPC | CLONE_NEWUTS | net) & ~jail->shared;
    pid_t pid = jail_clone_into(OWN | others, &jail->pidfd);
    if (pid < 0)
        refuse(R_KERNEL, "cannot create the namespaces", errno);
    return pid;
}

pid_t jail_join(struct jail *jail)
{
    return jail_clone_into(CLONE_NEWCGROUP, &jail->pidfd);
}

void jail_close(const struct plan *plan, const struct jail *jail)
{
    close(jail->image);
    if (!jail->mounts) /* it had been built before */
        return;
    close(jail->tree);
    for (size_t i = 0; i < plan->count; i++)
        if (jail->mounts[i] >= 0)
            close(jail->mounts[i]);
}
