/* Inside: build, drop, only then look at the request, then be the jail's init. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "creds.h"
#include "fail.h"
#include "match.h"
#include "mount.h"
#include "pty.h"
#include "session.h"

static int to_outer = -1;

static void say(char what, const char *first, const char *second, const char *third)
{
    char message[1024];
    int n = snprintf(message, sizeof message, "%c%s\n%s\n%s", what, first, second, third);
    (void)!send(to_outer, message, n < (int)sizeof message ? (size_t)n : sizeof message, MSG_NOSIGNAL);
}

static void leave(int code, const char *reason, const char *detail)
{
    say(code == EXIT_DENIED ? SAYS_DENIED : SAYS_REFUSED, reason, detail, "");
    _exit(code);
}

static void drop(const struct plan *plan)
{
    static gid_t groups[256];
    size_t n = 0;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->records[i].verb == OP_GROUP && n < sizeof groups / sizeof *groups)
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

/* The command's environment: the plan's, the checked few, the rule's; later ones win by standing first. */
static char **environment(const struct plan *plan, const struct request *request, const struct verdict *verdict)
{
    static char *env[512];
    size_t n = 0, at = verdict->rule_index, most = sizeof env / sizeof *env - 1;
    for (char *const *args; n < most && (args = rule_next(plan, at, OP_RULE_ENV, &at));) {
        bool placed = strncmp(args[1], "%p", 2) == 0;
        if (asprintf(&env[n++], "%s=%s%s", args[0], placed && verdict->path ? verdict->path : "",
                     placed ? args[1] + 2 : args[1]) < 0)
            refuse("setup", "no memory", 0);
    }
    size_t own = n;
    for (size_t i = 0; i < plan->count && n < most; i++) {
        char *const *args = plan->records[i].args;
        if (plan->records[i].verb != OP_ENV)
            continue;
        size_t length = strlen(args[0]);
        bool shadowed = false;
        for (size_t e = 0; e < own; e++)
            shadowed = shadowed || (strncmp(env[e], args[0], length) == 0 && env[e][length] == '=');
        if (!shadowed && asprintf(&env[n++], "%s=%s", args[0], args[1]) < 0)
            refuse("setup", "no memory", 0);
    }
    for (char **entry = request->env; *entry && n < most; entry++)
        env[n++] = *entry;
    env[n] = NULL;
    return env;
}

/* In the command's process, which shares this memory until it executes: vfork(2).  A failure is left in *ERROR. */
static noreturn void execute(const struct plan *plan, const struct verdict *verdict, char **env, int pty, int *error)
{
    sigset_t none;
    char *const *mask = plan_first(plan, OP_UMASK), *const *home = plan_first(plan, OP_HOME);
    if (setsid() < 0)
        refuse("setup", "cannot begin a session", errno);
    if (pty >= 0 && !pty_become_terminal(pty))
        refuse("setup", "cannot take the terminal", errno);
    if (chdir(home[0]) != 0 && chdir("/") != 0)
        refuse("setup", "cannot enter the home", errno);
    umask(mask ? (mode_t)plan_number(mask[0], 8) : 022);
    creds_limits(plan);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(verdict->program, (char *const *)verdict->argv, env);
    *error = errno;
    _exit(EXIT_NOT_FOUND);
}

static long long microseconds(struct timeval time)
{
    return time.tv_sec * 1000000ll + time.tv_usec;
}

/* Reap everything, pass signals on, end with the command; the kernel then kills what is left in the jail. */
static noreturn void be_init(pid_t command)
{
    sigset_t all;
    sigfillset(&all);
    for (;;) {
        int number = sigwaitinfo(&all, NULL), status;
        if (number > 0 && number != SIGCHLD)
            kill(command, number);
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
            if (pid != command)
                continue;
            char text[3][24];
            struct rusage used;
            int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
            getrusage(RUSAGE_CHILDREN, &used);
            snprintf(text[0], sizeof text[0], "%d", code);
            snprintf(text[1], sizeof text[1], "%lld", microseconds(used.ru_utime) + microseconds(used.ru_stime));
            snprintf(text[2], sizeof text[2], "%ld", used.ru_maxrss);
            say(SAYS_ENDED, text[0], text[1], text[2]);
            _exit(code);
        }
    }
}

static void judge(const struct plan *plan, const struct request *request, struct verdict *verdict)
{
    match_request(plan, request->command, true, verdict);
    if (!verdict->allowed)
        deny(verdict->reason, verdict->detail);
    verdict->argv[verdict->argc] = NULL;
    if (!plan_says(plan, OP_JOURNAL, "require"))
        return;
    char go;
    say(SAYS_ALLOWED, verdict->rule, verdict->plugin, "");
    if (recv(to_outer, &go, 1, 0) != 1)
        refuse("journal", "the login could not be logged", 0);
}

static noreturn void run(const struct plan *plan, const struct request *request, bool terminal)
{
    static struct verdict verdict;
    int error = 0;
    judge(plan, request, &verdict);
    char **env = environment(plan, request, &verdict);
    int pty = terminal ? pty_open(to_outer) : -1;
    pid_t command = vfork();
    if (command < 0)
        refuse("setup", "cannot start a process", errno);
    if (command == 0)
        execute(plan, &verdict, env, pty, &error);
    if (error) {
        say(SAYS_NOT_FOUND, "not-found", verdict.program, strerror(error));
        _exit(EXIT_NOT_FOUND);
    }
    if (!plan_says(plan, OP_JOURNAL, "require"))
        say(SAYS_ALLOWED, verdict.rule, verdict.plugin, "");
    if (pty >= 0)
        close(pty);
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    be_init(command);
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
    bool terminal = isatty(0), relayed = terminal && plan_says(plan, OP_PTY, "yes");
    if (!relayed && (terminal || isatty(1) || isatty(2)) && request->command)
        deny("no-terminal", "this account gets no terminal; use ssh -T");
    run(plan, request, relayed);
}
