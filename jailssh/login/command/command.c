/* After the drop: judge the request, execute it, be the jail's init until it ends. */
#include "command.h"
#include "env.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"
#include "command_filter.h"
#include "creds.h"
#include "fail.h"
#include "keep.h"
#include "limit.h"
#include "match.h"
#include "outer/stream.h"
#include "wait.h"
#include "within.h"

void command_limits(const struct plan *plan, const char *peer)
{
    char sentence[80];
    enum reason reason = limit_judge(plan, peer, time(NULL), sentence, sizeof sentence);
    if (reason)
        deny(reason, sentence);
}

static bool is_set(char *const *env, size_t n, const char *name)
{
    size_t length = strcspn(name, "=");
    for (size_t i = 0; i < n; i++)
        if (strncmp(env[i], name, length) == 0 && env[i][length] == '=')
            return true;
    return false;
}

static bool is_accepted(const struct plan *plan, const char *entry)
{
    for (size_t i = 0; i < plan->count && plan->records[i].verb != OP_RULE; i++)
        if (plan->records[i].verb == OP_ACCEPT_ENV && request_accepts(plan->records[i].args[0], entry))
            return true;
    return false;
}

/* The command's environment: the key's name, the rule's, the plan's, the checked few, what the jail accepts; who comes
 * first wins. */
static char **environment(const struct plan *plan, const struct request *request, const struct verdict *verdict)
{
    static char *env[512];
    size_t n = 0, at = verdict->rule_index, most = sizeof env / sizeof *env - 1;
    if (*request->key && asprintf(&env[n++], "JAILSSH_KEY=%s", request->key) < 0)
        refuse(R_SETUP, "cannot allocate memory", 0);
    for (char *const *args; n < most && (args = rule_next(plan, OP_RULE_ENV, &at));) {
        bool placed = strncmp(args[1], "%p", 2) == 0;
        if (!is_set(env, n, args[0]) &&
            asprintf(&env[n++], "%s=%s%s", args[0], placed && verdict->path ? verdict->path : "",
                     placed ? args[1] + 2 : args[1]) < 0)
            refuse(R_SETUP, "cannot allocate memory", 0);
    }
    for (size_t i = 0, first = n; i < plan->count && n < most; i++) {
        char *const *args = plan->records[i].args;
        if (plan->records[i].verb == OP_ENV && !is_set(env, first, args[0]) &&
            asprintf(&env[n++], "%s=%s", args[0], args[1]) < 0)
            refuse(R_SETUP, "cannot allocate memory", 0);
    }
    for (char **entry = request->env; *entry && n < most; entry++)
        env[n++] = *entry;
    for (char **entry = request->given; *entry && n < most; entry++)
        if (is_accepted(plan, *entry) && !is_set(env, n, *entry))
            env[n++] = *entry;
    env[n] = NULL;
    return env;
}

/* Directory, mask, limits and signals of a program of the jail, in a child of vfork(2): nothing here writes to the
 * memory that it shares. */
static void settle_in(const struct plan *plan, const struct verdict *verdict)
{
    sigset_t none;
    char *const *mask = plan_first(plan, OP_UMASK), *const *home = plan_first(plan, OP_HOME);
    if (chdir(home[0]) != 0 && (verdict->at_home || chdir("/") != 0))
        refuse(R_SETUP, "cannot change to the home directory", errno);
    umask(mask ? (mode_t)plan_number(mask[0], 8) : 022);
    if (!creds_limits_of_command())
        refuse(R_LIMITS, "cannot set the resource limits", errno);
    if (!wait_is_awaited())
        _exit(EXIT_REFUSED);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Run what the rule has before its program and wait for it.  It gets nothing of the client, and the client nothing of
 * it, who would take it for the program's protocol. */
static void run_first(const struct plan *plan, const struct verdict *verdict, char **env)
{
    enum { MOST = 30 };
    const char *argv[MOST + 1];
    size_t n = 0, at = verdict->rule_index;
    for (char *const *args; (args = rule_next(plan, OP_FIRST, &at)) && n < MOST;)
        argv[n++] = strcmp(args[0], "%p") == 0 && verdict->path ? verdict->path : args[0];
    if (n == 0)
        return;
    argv[n] = NULL;
    int said[2];
    struct command_filter filter;
    command_filter_prepare(&filter, &argv[0], false);
    if (pipe2(said, O_CLOEXEC | O_NONBLOCK) != 0) /* what is too much for it is lost */
        refuse(R_SETUP, "cannot start the pre-command", errno);
    pid_t pid = vfork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (setsid() < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(said[1], 2) < 0)
            refuse(R_FIRST_FAILED, "cannot detach the pre-command from the client", errno);
        settle_in(plan, verdict);
        if (!command_filter_enter(&filter))
            refuse(R_SECCOMP, "cannot install the system call filter of the pre-command", errno);
        execve(argv[0], (char *const *)argv, env);
        refuse(R_FIRST_FAILED, argv[0], errno); /* the first to say why is heard */
    }
    char text[500], line[200] = "";
    if (pid < 0)
        refuse(R_SETUP, "cannot start the pre-command", errno);
    int status = wait_for(pid);
    (void)!read(said[0], line, sizeof line - 1);
    line[strcspn(line, "\n")] = '\0';
    snprintf(text, sizeof text, "%s ended with %s %d%s%s", argv[0], WIFSIGNALED(status) ? "signal" : "status",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), *line ? ": " : "", line);
    if (status != 0)
        refuse(R_FIRST_FAILED, text, 0);
    close(said[0]);
    close(said[1]);
}

struct its_streams {
    int ends[STREAMS];
    bool terminal;
    int ruleset;
};

/* In the command's process, which shares this memory until it executes: vfork(2).  A failure is left in *ERROR. */
static noreturn void execute(const struct plan *plan, const struct verdict *verdict, char **env,
                             const struct its_streams *streams, const struct command_filter *filter,
                             volatile int *error)
{
    char *const *nice = plan_first(plan, OP_NICE);
    int worse = nice ? (int)plan_number(nice[0], 10) : 0;
    if (setsid() < 0)
        refuse(R_SETUP, "cannot create a session", errno);
    if (!stream_become(streams->ends, streams->terminal))
        refuse(R_SETUP, "cannot set up the streams", errno);
    if (nice && worse > getpriority(PRIO_PROCESS, 0) && setpriority(PRIO_PROCESS, 0, worse) != 0)
        refuse(R_LIMITS, "cannot set the nice value", errno);
    settle_in(plan, verdict);
    if (!within_enter(streams->ruleset))
        refuse(R_WITHIN, "cannot enforce the Landlock rules", errno);
    if (!command_filter_enter(filter))
        refuse(R_SECCOMP, "cannot install the system call filter of the command", errno);
    if (rule_first(plan, verdict->rule_index, OP_KEEP) && !keep_enter())
        refuse(R_SECCOMP, "cannot limit the command to new files", errno);
    execve(verdict->program, (char *const *)verdict->argv, env);
    *error = errno;
    _exit(EXIT_NOT_FOUND);
}

static long long microseconds(struct timeval time)
{
    return time.tv_sec * 1000000ll + time.tv_usec;
}

/* End with the command; the kernel then kills what is left in the jail, unless that is kept. */
static noreturn void be_init(pid_t command)
{
    char text[3][24];
    struct rusage used;
    /* Everybody in the jail can signal us; what waits to be read takes memory of the kernel. */
    setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){ 256, 256 });
    int status = wait_for(command), code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    getrusage(RUSAGE_CHILDREN, &used);
    snprintf(text[0], sizeof text[0], "%d", code);
    snprintf(text[1], sizeof text[1], "%lld", microseconds(used.ru_utime) + microseconds(used.ru_stime));
    snprintf(text[2], sizeof text[2], "%ld", used.ru_maxrss);
    channel_say(SAYS_ENDED, text[0], text[1], text[2]);
    _exit(code);
}

/* Where the outer half is waited for this has been said, and answered, before anything ran. */
static void say_allowed(const struct plan *plan, const struct verdict *verdict)
{
    if (!channel_waits(plan))
        channel_say(SAYS_ALLOWED, verdict->rule, verdict->plugin, "");
}

static void judge(const struct plan *plan, const struct request *request, struct verdict *verdict, int channel)
{
    match_request(plan, request->command, true, verdict);
    if (!verdict->allowed) {
        channel_say_why(SAYS_DENIED, verdict->reason, verdict->detail, verdict->rule);
        _exit(EXIT_DENIED);
    }
    verdict->argv[verdict->argc] = NULL;
    if (!channel_waits(plan))
        return;
    char go;
    channel_say(SAYS_ALLOWED, verdict->rule, verdict->plugin, "");
    if (recv(channel, &go, 1, 0) != 1)
        refuse(R_JOURNAL, "cannot record the login in the journal", 0);
}

/* The rule has the answer itself: a session in which nothing was executed. */
static noreturn void answer(const struct plan *plan, const struct verdict *verdict)
{
    say_allowed(plan, verdict);
    channel_say(SAYS_ENDED, "0", "0", "0");
    _exit(0);
}

void command_start(const struct plan *plan, const struct request *request, struct verdict *verdict, int channel,
                   bool terminal)
{
    volatile int error = 0; /* or the compiler, which sees no second return, takes it for 0 after vfork(2) */
    char **env = environment(plan, request, verdict);
    run_first(plan, verdict, env);
    struct its_streams streams = { .terminal = terminal, .ruleset = within_open(plan, verdict->rule_index) };
    /* What whoever enters has as 0-2 can be a directory or a terminal of the host's: none of it goes in. */
    bool pipes = request->jail != NULL, log = rule_first(plan, verdict->rule_index, OP_LOG) != NULL;
    stream_open(plan, terminal, pipes, log, channel, streams.ends);
    struct command_filter filter;
    command_filter_prepare(&filter, &verdict->program, rule_first(plan, verdict->rule_index, OP_ALONE) != NULL);
    pid_t command = vfork();
    if (command < 0)
        refuse(R_SETUP, "cannot start a process", errno);
    if (command == 0)
        execute(plan, verdict, env, &streams, &filter, &error);
    if (error) {
        channel_say_why(SAYS_NOT_FOUND, R_NOT_FOUND, verdict->program, strerror(error));
        _exit(EXIT_NOT_FOUND);
    }
    if (verdict->allowed)
        say_allowed(plan, verdict);
    for (int fd = 0; fd < STREAMS; fd++) {
        close(fd);
        close(streams.ends[fd]); /* one of all three, where it is a terminal */
    }
    be_init(command);
}

void command_begin(const struct plan *plan)
{
    wait_begin(plan);
    signal(SIGXFSZ, SIG_IGN); /* so write(2) says EFBIG, and a server goes on with the next file */
}

void command_run(const struct plan *plan, const struct request *request, int channel, bool terminal)
{
    static struct verdict verdict;
    command_begin(plan);
    judge(plan, request, &verdict, channel);
    if (verdict.answered)
        answer(plan, &verdict);
    command_start(plan, request, &verdict, channel, terminal);
}
