/* jailssh-run: the second front door.  It is not set-user-ID: who starts it gets no right that is not theirs already.
 *
 * It carries out the plan on descriptor 3, which `jailssh run` has made: a command in a tree, in namespaces of its own.
 * The steps, their order and their defaults are the login program's; what is weaker than these stands in the plan. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "about.h"
#include "after.h"
#include "channel.h"
#include "creds.h"
#include "env.h"
#include "fail.h"
#include "fd.h"
#include "filter.h"
#include "groups.h"
#include "jail.h"
#include "join.h"
#include "maps.h"
#include "notify.h"
#include "outer/outer.h"
#include "passed.h"
#include "plan.h"
#include "powers.h"
#include "start.h"
#include "system.h"
#include "tree.h"

enum { PLAN = 3, TRIES = 200, WAIT = 10000000 }; /* WAIT: nanoseconds */

static void read_plan(struct plan *plan)
{
    char *data = malloc(PLAN_MAX_SIZE + 1);
    size_t size = 0;
    for (ssize_t n = 1; data && n > 0 && size <= PLAN_MAX_SIZE; size += n > 0 ? (size_t)n : 0)
        if ((n = read(PLAN, data + size, PLAN_MAX_SIZE + 1 - size)) < 0)
            refuse(R_ARGUMENTS, "is run by: jailssh run", 0);
    const char *why = data ? plan_parse_run(data, size, plan) : "no memory for the plan";
    if (why)
        refuse(R_PLAN_BAD, why, 0);
}

/* By an own pair of sockets: the first process waits for its maps, and ends where we do. */
static void make_pair(int pair[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        refuse(R_SETUP, "cannot create a socket pair", errno);
}

static void bind_life(const struct plan *plan)
{
    if (!plan_first(plan, OP_BACKGROUND) && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        refuse(R_DROP, "cannot set the parent-death signal", errno);
}

/* Who has started a daemon that nobody waits for goes once it runs, or as it ends where it does not.  Returns where the
 * other half of us says so, or -1. */
static int detach(const struct plan *plan)
{
    int ends[2], status;
    char word;
    if (!plan_says(plan, OP_DAEMON, "yes") && !system_is_wanted(plan))
        return -1;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (null < 0 || pipe2(ends, O_CLOEXEC) != 0)
        refuse(R_SETUP, "cannot create a pipe", errno);
    pid_t pid = fork();
    if (pid < 0)
        refuse(R_SETUP, "cannot start a process", errno);
    if (pid > 0) {
        close(ends[1]);
        if (read(ends[0], &word, 1) == 1)
            _exit(0);
        /* It ends with what has failed; if not, who would have told us so was killed, and a daemon that is not known
         * to anybody is asked to end. */
        pid_t ended;
        for (int tries = 0; (ended = waitpid(pid, &status, WNOHANG)) == 0; tries++) {
            if (tries == TRIES)
                kill(pid, SIGTERM);
            nanosleep(&(struct timespec){ .tv_nsec = WAIT }, NULL);
        }
        _exit(ended == pid && WIFEXITED(status) && WEXITSTATUS(status) ? WEXITSTATUS(status) : EXIT_REFUSED);
    }
    close(ends[0]);
    if (setsid() < 0 || (!system_is_wanted(plan) && (dup2(null, 0) != 0 || dup2(null, 1) != 1)))
        refuse(R_SETUP, "cannot leave the terminal", errno);
    close(null);
    return ends[1];
}

/* By the pair on which the first process waits a daemon says later that it starts, and the kernel who it is. */
static bool set_report(const struct plan *plan, const int go[2])
{
    const int on = 1;
    if (!plan_first(plan, OP_DAEMON))
        return true;
    passed_set(PASSED_REPORT, go[1]);
    return setsockopt(go[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0;
}

static noreturn void be_first(const struct plan *plan, int channel, int go, int tree)
{
    char *const *name = plan_first(plan, OP_HOSTNAME);
    char word;
    if (recv(go, &word, 1, 0) != 1)
        _exit(EXIT_REFUSED); /* who has cloned us has said why */
    bind_life(plan);
    if (unshare(CLONE_NEWCGROUP) != 0)
        refuse(R_KERNEL, "cannot create the namespace of control groups", errno);
    if (plan_first(plan, OP_NEW_USERS))
        maps_enter(plan);
    if (name && sethostname(name[0], strlen(name[0])) != 0)
        refuse(R_SETUP, "cannot set the host name", errno);
    jail_loopback_up(plan);
    tree_build(plan, tree);
    if (system_is_wanted(plan))
        system_console(channel);
    channel = passed_keep_only(channel);
    if (channel < 0)
        refuse(R_SETUP, "cannot close the descriptors of the set-up", errno);
    powers_drop(plan);
    bind_life(plan); /* the drop has cleared it */
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        refuse(R_DROP, "cannot clear the dumpable attribute", errno);
    if (recv(channel, &word, 1, MSG_DONTWAIT) == 0 && !plan_first(plan, OP_BACKGROUND))
        _exit(EXIT_REFUSED); /* the outer half is gone already */
    /* On the host's network abstract sockets of root's would be in reach. */
    if (!plan_first(plan, OP_PRIVILEGED) && !plan_first(plan, OP_HOLD) && !system_is_wanted(plan) && creds_can_scope())
        creds_scope(false, true);
    if (plan_first(plan, OP_SECCOMP))
        filter_install();
    if (plan_first(plan, OP_HOLD))
        join_hold(channel);
    creds_limits(plan);
    if (system_is_wanted(plan))
        system_start(plan);
    start_command(plan, channel);
}

/* In a tree that is kept: what runs there is not kept apart from the rest of it. */
static noreturn void be_joined(const struct plan *plan, int channel)
{
    channel = fd_keep_only(channel);
    if (channel < 0)
        refuse(R_SETUP, "cannot close the descriptors of the set-up", errno);
    channel_open(channel);
    bool system = system_is_wanted(plan);
    if (system) /* both before the power to do so is gone: new privileges are to be had */
        system_scope(plan);
    if (system && plan_first(plan, OP_SECCOMP))
        filter_install();
    powers_drop(plan);
    bind_life(plan);
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        refuse(R_DROP, "cannot clear the dumpable attribute", errno);
    if (channel_is_cut())
        _exit(EXIT_REFUSED);
    if (!system && !plan_first(plan, OP_PRIVILEGED) && plan_says(plan, OP_NET, "host") && creds_can_scope())
        creds_scope(false, false);
    if (!system && plan_first(plan, OP_SECCOMP))
        filter_install();
    creds_limits(plan);
    start_command(plan, channel);
}

static int run_joined(const struct plan *plan, const struct request *request)
{
    int channel[2], pidfd = -1;
    join_enter(plan);
    make_pair(channel);
    pid_t pid = jail_clone_into(0, &pidfd);
    if (pid < 0)
        refuse(R_KERNEL, "cannot start a process in the tree", errno);
    close(channel[pid == 0 ? 0 : 1]);
    if (pid == 0)
        be_joined(plan, channel[1]);
    powers_of_outer();
    return outer_run(plan, request, channel[0], pid, pidfd, 0);
}

/* A whole system, from its registration on to its end. */
static int run_system(const struct plan *plan, pid_t pid, int pidfd, int go, int channel, int started)
{
    char word;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY), master = -1;
    if (null < 0 || dprintf(1, "%d\n", pid) < 0 || read(0, &word, 1) != 1 || send(go, "", 1, MSG_NOSIGNAL) != 1)
        kill(pid, SIGKILL);
    else
        master = system_await(channel, pidfd);
    if (master < 0)
        return EXIT_REFUSED; /* which has said why */
    for (int fd = 0; fd <= (plan_first(plan, OP_LOG_FILE) ? 2 : 1); fd++)
        dup2(null, fd);
    (void)!write(started, "", 1);
    close(started);
    close(go);
    powers_of_outer();
    return system_watch(plan, master, pidfd);
}

/* Tell who registers it the number of the process that holds the tree.  It lives once that has been done, and is there
 * for others once it has built the tree. */
static int hand_over(pid_t pid, int pidfd, int go, int channel)
{
    char word;
    struct pollfd ready[] = { { .fd = channel, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
    if (dprintf(1, "%d\n", pid) < 0 || read(0, &word, 1) != 1 || send(go, "", 1, MSG_NOSIGNAL) != 1)
        kill(pid, SIGKILL);
    while (poll(ready, 2, -1) <= 0)
        continue;
    return recv(channel, &word, 1, MSG_DONTWAIT) == 1 ? 0 : EXIT_REFUSED; /* which has said why */
}

static unsigned long namespaces(const struct plan *plan)
{
    unsigned long net = plan_says(plan, OP_NET, "host") ? 0 : CLONE_NEWNET;
    unsigned long users = plan_first(plan, OP_NEW_USERS) ? CLONE_NEWUSER : 0;
    return CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | net | users;
}

static const char *cannot_clone(const struct plan *plan)
{
    if (!plan_first(plan, OP_NEW_USERS))
        return "cannot create the namespaces";
    return errno == ENOSPC
               ? "user namespaces are forbidden here (sysctl user.max_user_namespaces)"
               : "user namespaces are forbidden here (sysctl kernel.unprivileged_userns_clone, or AppArmor: "
                 "kernel.apparmor_restrict_unprivileged_userns); root needs none";
}

int main(void)
{
    static struct plan plan;
    static struct request request;
    static char *none[1];
    int channel[2], go[2], pidfd = -1;
    request = (struct request){ .command = "", .peer = "", .auth_file = "", .key = "", .env = none, .given = none };
    fail_set_exit(about_leave);
    read_plan(&plan);
    groups_own(&plan);
    creds_sanitise(true);
    passed_sanitise(&plan);
    notify_connect(&plan);
    if (plan_first(&plan, OP_SECCOMP))
        filter_read(&plan);
    if (plan_first(&plan, OP_JOIN))
        return run_joined(&plan, &request);
    int started = detach(&plan);
    int tree = tree_open(&plan);
    make_pair(channel);
    make_pair(go);
    if (!set_report(&plan, go))
        refuse(R_SETUP, "cannot create a socket pair", errno);
    /* The maps are files of the process, which are its user's where it could be traced; there is nothing to see yet. */
    if (plan_first(&plan, OP_NEW_USERS) && geteuid() != 0)
        prctl(PR_SET_DUMPABLE, 1);
    pid_t pid = jail_clone_into(namespaces(&plan), &pidfd);
    if (pid < 0)
        refuse(R_KERNEL, cannot_clone(&plan), errno);
    close(channel[pid == 0 ? 0 : 1]);
    close(go[pid == 0 ? 0 : 1]);
    if (pid == 0)
        be_first(&plan, channel[1], go[1], tree);
    if (plan_first(&plan, OP_NEW_USERS))
        maps_write(&plan, pid);
    if (system_is_wanted(&plan))
        system_prepare(pid, tree);
    close(tree);
    if (system_is_wanted(&plan))
        return run_system(&plan, pid, pidfd, go[0], channel[0], started);
    if (plan_first(&plan, OP_HOLD))
        return hand_over(pid, pidfd, go[0], channel[0]);
    pid_t helper = after_begin(&plan, pid, pidfd, plan_first(&plan, OP_DAEMON) ? go[0] : -1, started);
    groups_enter(pid);
    if (send(go[0], "", 1, MSG_NOSIGNAL) != 1)
        refuse(R_SETUP, "command has ended before it began", errno);
    close(go[0]);
    close(passed_get(PASSED_TO));
    if (started >= 0) {
        close(started);
        dup2(0, 2);
    }
    powers_of_outer();
    int code = outer_run(&plan, &request, channel[0], pid, pidfd, 0);
    after_end(helper, pidfd);
    return code;
}
