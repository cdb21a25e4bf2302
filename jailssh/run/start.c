#include "start.h"

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

#include "channel.h"
#include "command/wait.h"
#include "creds.h"
#include "fail.h"
#include "notify.h"
#include "outer/stream.h"
#include "passed.h"

enum { ABOVE = 128 }; /* all descriptors that a daemon is given */

char **start_list(const struct plan *plan, enum plan_verb verb)
{
    char **words = calloc(plan->count + 1, sizeof *words);
    size_t n = 0;
    if (!words)
        refuse(R_SETUP, "cannot allocate memory", 0);
    for (size_t i = 0; i < plan->count; i++) {
        char *const *args = plan->records[i].args;
        if (plan->records[i].verb != verb)
            continue;
        words[n++] = args[0];
        if (verb == OP_ENV && asprintf(&words[n - 1], "%s=%s", args[0], args[1]) < 0)
            refuse(R_SETUP, "cannot allocate memory", 0);
    }
    return words;
}

static const char *search_path(char **env)
{
    for (; *env; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            return *env + 5;
    return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

/* As execvpe(3), by the tree's own directories.  Returns why not. */
static int execute(char **argv, char **env)
{
    static char path[4200];
    int error = ENOENT;
    if (strchr(argv[0], '/')) {
        execve(argv[0], argv, env);
        return errno;
    }
    for (const char *at = search_path(env); *at; at += strspn(at, ":")) {
        int length = (int)strcspn(at, ":");
        if (snprintf(path, sizeof path, "%.*s/%s", length, at, argv[0]) < (int)sizeof path)
            execve(path, argv, env);
        if (errno != ENOENT && errno != ENOTDIR)
            error = errno;
        at += length;
    }
    return error;
}

static noreturn void be_command(const struct plan *plan, char **argv, char **env, const int ends[STREAMS],
                                bool terminal)
{
    char *const *mask = plan_first(plan, OP_UMASK), *const *nice = plan_first(plan, OP_NICE);
    const char *where = plan_first(plan, OP_HOME)[0];
    sigset_t none;
    int report = passed_get(PASSED_REPORT), told = fcntl(2, F_DUPFD_CLOEXEC, ABOVE);
    if (!wait_is_awaited())
        _exit(EXIT_REFUSED);
    if (setsid() < 0 || !stream_become(ends, terminal))
        refuse(R_SETUP, "cannot set up the streams", errno);
    if (chdir(where) != 0)
        refuse(R_SETUP, where, errno);
    umask(mask ? (mode_t)plan_number(mask[0], 8) : 022);
    if (nice && setpriority(PRIO_PROCESS, 0, (int)plan_number(nice[0], 10)) != 0)
        refuse(R_LIMITS, "cannot set the nice value", errno);
    if (!creds_limits_of_command())
        refuse(R_LIMITS, "cannot set the resource limits", errno);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* The kernel says whose this is, by the number outside; that nothing follows, that the program runs. */
    if (report >= 0)
        (void)!send(report, "", 1, MSG_NOSIGNAL);
    if (plan_says(plan, OP_DAEMON, "yes"))
        dup2(0, 2);
    int error = passed_become(env) ? execute(argv, env) : errno;
    if (told >= 0)
        dup2(told, 2);
    if (report >= 0)
        (void)!send(report, "F", 1, MSG_NOSIGNAL);
    fail_say("jailssh: run: %s: %s\n", argv[0], error == ENOENT ? "no such program in the tree" : strerror(error));
    _exit(error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_DENIED);
}

/* A daemon that puts itself into the background, as its first process has ended well: what has started it is told so,
 * and goes; we stay until the last process has ended, and pass signals on to all. */
static void stay(pid_t beside, int channel)
{
    sigset_t all;
    sigfillset(&all);
    if (beside > 0)
        kill(beside, SIGKILL);
    while (beside > 0 && waitpid(beside, NULL, 0) < 0 && errno == EINTR)
        continue;
    pid_t left = waitpid(-1, NULL, WNOHANG);
    if (left < 0 || prctl(PR_SET_PDEATHSIG, 0) != 0)
        return;
    channel_open(channel);
    channel_say(SAYS_ENDED, "0", "", "");
    close(channel);
    while ((left = waitpid(-1, NULL, WNOHANG)) >= 0) {
        int number = left > 0 ? 0 : sigwaitinfo(&all, NULL);
        if (number > 0 && number != SIGCHLD)
            kill(-1, number);
    }
}

void start_command(const struct plan *plan, int channel)
{
    bool terminal = plan_says(plan, OP_PTY, "yes");
    int ends[STREAMS];
    char **argv = start_list(plan, OP_ARGUMENT), **env = start_list(plan, OP_ENV);
    wait_begin(plan);
    pid_t beside = notify_start(plan);
    stream_open(plan, terminal, false, false, channel, ends);
    pid_t command = fork();
    if (command < 0)
        refuse(R_SETUP, "cannot start a process", errno);
    if (command == 0)
        be_command(plan, argv, env, ends, terminal);
    for (int fd = 0; fd < STREAMS; fd++) {
        close(fd);
        close(ends[fd]);
    }
    close(passed_get(PASSED_REPORT));
    int status = wait_for(command);
    if (plan_first(plan, OP_DAEMON) && status == 0)
        stay(beside, channel);
    _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}
