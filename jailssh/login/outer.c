/* Outside: dropped to the user, in the empty namespace; waits, relays, passes signals on, logs. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "creds.h"
#include "fail.h"
#include "journal.h"
#include "pty.h"
#include "session.h"

struct outer {
    const struct plan *plan;
    const struct request *request;
    int channel, pidfd, signals, master;
    pid_t jail, parent;
    struct timespec began;
    char message[1024]; /* the last word of the jail's first process, or empty */
    bool started, ended;
    struct pump in, out;
};

/* The parts of the message: what follows its letter, separated by newlines. */
static void parts(char *message, const char *part[3])
{
    for (int i = 0; i < 3; i++) {
        part[i] = message;
        message += strcspn(message, "\n");
        if (*message)
            *message++ = '\0';
    }
}

static bool log_start(struct outer *o, char *message)
{
    const char *part[3];
    char text[600];
    parts(message + 1, part);
    snprintf(text, sizeof text, "%s: %s runs by rule %s", o->plan->name,
             o->request->command ? "command" : "interactive login", part[0]);
    journal_begin(EVENT_START, EVENT_START_ID, 6);
    journal_add("MESSAGE", text);
    journal_add("JAILSSH_RULE", part[0]);
    journal_add("JAILSSH_PLUGIN", part[1]);
    if (o->request->command)
        journal_add("JAILSSH_COMMAND", o->request->command);
    o->started = journal_send();
    return o->started;
}

static void take_terminal(struct outer *o)
{
    fcntl(o->master, F_SETFL, O_NONBLOCK);
    pty_raw();
    o->in = (struct pump){ .from = 0, .to = o->master };
    o->out = (struct pump){ .from = o->master, .to = 1 };
}

static void on_message(struct outer *o)
{
    char text[sizeof o->message];
    long n = pty_receive(o->channel, text, sizeof text, &o->master);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) { /* the jail's first process is gone */
        close(o->channel);
        o->channel = -1;
    } else if (text[0] == SAYS_TERMINAL && o->master >= 0) {
        take_terminal(o);
    } else if (text[0] == SAYS_ALLOWED) {
        bool logged = log_start(o, text);
        if (logged && plan_says(o->plan, OP_JOURNAL, "require"))
            (void)!send(o->channel, "", 1, MSG_NOSIGNAL);
        else if (plan_says(o->plan, OP_JOURNAL, "require"))
            shutdown(o->channel, SHUT_WR);
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
        pty_copy_size(o->master);
    else if (number == SIGHUP && getppid() != o->parent)
        kill(o->jail, SIGKILL); /* sshd is gone, and nothing of the session may survive it */
    else if (number != SIGCHLD && number != SIGPIPE)
        kill(o->jail, number);
}

static void relay(struct outer *o, struct pump *pump, const struct pollfd *polled)
{
    if (polled->revents == 0 || pump_step(pump))
        return;
    if (pump == &o->in)
        kill(o->jail, SIGKILL); /* the client's end of the terminal is gone */
    else
        o->out.from = -1;
}

/* Poll until the jail is gone.  A client that closes its end of a command's output ends the session too. */
static void wait_for_jail(struct outer *o)
{
    bool output_watched = true;
    while (!o->ended) {
        bool terminal = o->master >= 0;
        struct pollfd polled[5] = {
            { .fd = o->pidfd, .events = POLLIN },
            { .fd = o->signals, .events = POLLIN },
            { .fd = o->channel, .events = POLLIN },
            terminal ? pump_wants(&o->in) : (struct pollfd){ .fd = output_watched ? 1 : -1 },
            terminal ? pump_wants(&o->out) : (struct pollfd){ .fd = -1 },
        };
        if (terminal && o->out.from < 0 && o->out.done == o->out.have)
            polled[4].fd = -1;
        if (poll(polled, 5, -1) < 0)
            continue;
        if (polled[1].revents)
            on_signal(o);
        if (polled[2].revents)
            on_message(o);
        if (terminal) {
            relay(o, &o->in, &polled[3]);
            relay(o, &o->out, &polled[4]);
        } else if (polled[3].revents & (POLLERR | POLLHUP)) {
            output_watched = false;
            kill(o->jail, SIGKILL);
        }
        if (polled[0].revents)
            break;
    }
    while (o->channel >= 0 && !o->ended) /* what was said before the end */
        on_message(o);
    while (o->master >= 0 && (o->out.done < o->out.have || o->out.from >= 0)) {
        struct pollfd rest = pump_wants(&o->out);
        int patience = o->out.done < o->out.have ? -1 : 0; /* a slow client gets all of it; a hang-up ends the wait */
        if (poll(&rest, 1, patience) <= 0 || !pump_step(&o->out))
            break;
    }
    pty_restore();
}

static void tell_user(const struct outer *o, int code, const char *reason, const char *detail)
{
    const char *const *about = (const char *const *)plan_first(o->plan, OP_MESSAGE);
    if (code == EXIT_REFUSED || code == EXIT_NOT_FOUND)
        fail_tell();
    else if (!o->request->command)
        dprintf(2, "Hi %s! You have logged in, but %s.\n", o->plan->name, about[0]);
    else if (strcmp(reason, "no-terminal") == 0)
        dprintf(2, "jailssh: %s\n", detail);
    else
        dprintf(2, "jailssh: not allowed: %s\n", about[0]);
}

/* Log how it ended and return the exit status for sshd. */
static int conclude(struct outer *o)
{
    const char *part[3] = { "", "", "" };
    char what = o->message[0], text[300];
    struct timespec now;
    int code, status;
    if (what)
        parts(o->message + 1, part);
    if (what == SAYS_ENDED) {
        code = (int)strtol(part[0], NULL, 10) & 0xff;
    } else if (what) {
        code = what == SAYS_DENIED ? EXIT_DENIED : what == SAYS_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_REFUSED;
        tell_user(o, code, part[0], part[1]);
        if (what == SAYS_DENIED && *part[2]) /* the rule that nearly matched */
            journal_keep("JAILSSH_RULE", part[2]);
        fail_log(code, part[0], part[1], o->request->command);
        return code;
    } else { /* the jail was killed, by us or by the kernel */
        if (waitpid(o->jail, &status, 0) != o->jail)
            refuse("setup", "cannot learn how the session ended", errno);
        code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof text, "%s: session ended with status %d", o->plan->name, code);
    journal_begin(EVENT_END, EVENT_END_ID, 6);
    journal_add("MESSAGE", text);
    if (!o->started && o->request->command) /* killed before it could say what it runs */
        journal_add("JAILSSH_COMMAND", o->request->command);
    journal_add_number("JAILSSH_EXIT", code);
    journal_add_number("JAILSSH_DURATION_USEC",
                       (now.tv_sec - o->began.tv_sec) * 1000000ll + (now.tv_nsec - o->began.tv_nsec) / 1000);
    journal_add("JAILSSH_CPU_USEC", part[1]);
    journal_add("JAILSSH_MAXRSS", part[2]);
    journal_send();
    return code;
}

int outer_run(const struct plan *plan, const struct request *request, int channel, pid_t pid, int pidfd, pid_t parent)
{
    static struct outer o;
    sigset_t all;
    o = (struct outer){ .plan = plan,
                        .request = request,
                        .channel = channel,
                        .pidfd = pidfd,
                        .master = -1,
                        .jail = pid,
                        .parent = parent };
    clock_gettime(CLOCK_MONOTONIC, &o.began);
    creds_drop(plan, NULL, 0);
    if (!plan_says(plan, OP_PTY, "yes"))
        close(0); /* the command's alone: its end must be the end for sshd too */
    sigfillset(&all);
    o.signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (o.signals < 0 || prctl(PR_SET_PDEATHSIG, SIGHUP) != 0) {
        kill(pid, SIGKILL);
        refuse("setup", "cannot watch over the session", errno);
    }
    if (getppid() != parent)
        kill(pid, SIGKILL);
    wait_for_jail(&o);
    return conclude(&o);
}
