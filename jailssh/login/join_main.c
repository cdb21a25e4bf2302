/* jailssh-join PID START UID SERIAL TERM PROGRAM [ARGUMENT…]: root's way into a session that runs, for `jailssh exec`.
 *
 * It is not set-user-ID and of no use to anybody but root.  PID is a process of the session's and START when that was
 * started; UID and SERIAL say whose plan holds, SERIAL of a key of a shared account's or "".  From the plan come ids,
 * filter, limits and environment, as for a login; TERM is the terminal's kind or "".  What runs is told by root and not
 * judged.  Nothing of the host's goes in: descriptors 0-2 are pipes of the caller's, or a terminal of the jail's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel.h"
#include "command/command.h"
#include "creds.h"
#include "fail.h"
#include "fd.h"
#include "filter.h"
#include "inner.h"
#include "jail.h"
#include "load.h"
#include "outer/outer.h"
#include "spaces.h"

enum { PID = 1, START, UID, SERIAL, TERMINAL, PROGRAM };

/* Who asks is root, and is told what it is. */
static void leave(int code, enum reason reason, const char *detail)
{
    (void)reason;
    fail_say("jailssh: exec: %s\n", detail);
    _exit(code);
}

/* The plan as one of a jail that outlives its logins: what is joined was there before, and goes on. */
static void take_plan(char **argv, const struct request *request, struct plan *plan)
{
    static char *none[1];
    const char *why = load_file((uid_t)strtoul(argv[UID], NULL, 10), argv[SERIAL], request, plan);
    if (why || plan_is_roster(plan))
        refuse(R_PLAN_BAD, why && *why ? why : "plan of the session is missing; run: jailssh apply", 0);
    struct record *records = calloc(plan->count + 1, sizeof *records);
    if (!records)
        refuse(R_SETUP, "cannot allocate memory", 0);
    records[0] = (struct record){ .verb = OP_LINGER, .args = none };
    memcpy(records + 1, plan->records, plan->count * sizeof *records);
    plan->records = records;
    plan->count++;
}

static void enter(const char *pid, const char *start)
{
    char text[SPACES_STAT];
    int fds[SPACES];
    struct stat root, host, now;
    int proc = fd_walk(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY, FD_ANY);
    int process = spaces_process(proc, pid);
    const char *started = process < 0 ? NULL : spaces_start(process, text);
    size_t length = strlen(start);
    if (!started || strncmp(started, start, length) != 0 || started[length] != ' ' || !spaces_open(process, fds))
        refuse(R_SETUP, "session has ended", 0);
    if (fstatat(process, "root", &root, 0) != 0 || stat("/", &host) != 0)
        refuse(R_SETUP, "cannot look at the root of the session", errno);
    if (!spaces_enter(fds) || stat("/", &now) != 0)
        refuse(R_KERNEL, "cannot enter the namespaces of the session", errno);
    if (root.st_dev != now.st_dev || root.st_ino != now.st_ino ||
        (host.st_dev == now.st_dev && host.st_ino == now.st_ino))
        refuse(R_IMAGE, "root of the session is not its jail", 0);
    close(process);
    close(proc);
}

/* As execvp(3), by the jail's own PATH and with the user's rights. */
static const char *find(const struct plan *plan, const char *name)
{
    static char path[4200];
    struct stat st;
    const char *at = "/usr/bin:/bin";
    for (size_t i = 0; i < plan->count; i++)
        if (plan->records[i].verb == OP_ENV && strcmp(plan->records[i].args[0], "PATH") == 0)
            at = plan->records[i].args[1];
    for (; !strchr(name, '/') && *at; at += strspn(at, ":")) {
        int length = (int)strcspn(at, ":");
        int n = snprintf(path, sizeof path, "%.*s/%s", length, at, name);
        if (n < (int)sizeof path && stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0)
            return path;
        at += length;
    }
    return name;
}

static noreturn void run(const struct plan *plan, const struct request *request, int channel, char **argv)
{
    static struct verdict verdict;
    channel_open(channel);
    channel = inner_enter(plan, channel);
    command_begin(plan);
    bool terminal = isatty(0);
    if (terminal && !plan_says(plan, OP_PTY, "yes"))
        refuse(R_NO_TERMINAL, "jail has no terminals", 0);
    verdict.rule_index = plan->count - 1; /* a record of the last rule's, behind which there is none */
    verdict.program = find(plan, argv[0]);
    if (access(verdict.program, X_OK) != 0) {
        fail_say("jailssh: exec: %s: %s\n", argv[0], strerror(errno));
        _exit(EXIT_NOT_FOUND);
    }
    for (; argv[verdict.argc] && verdict.argc < sizeof verdict.argv / sizeof *verdict.argv - 1; verdict.argc++)
        verdict.argv[verdict.argc] = argv[verdict.argc];
    if (argv[verdict.argc])
        refuse(R_TOO_MANY_WORDS, "command has too many words", 0);
    command_start(plan, request, &verdict, channel, terminal);
}

int main(int argc, char **argv)
{
    static char term[64], *env[2], *given[1];
    static struct plan plan;
    struct request request = { .command = "", .peer = "", .auth_file = "", .key = "", .env = env, .given = given };
    struct jail jail = { .pidfd = -1 };
    int channel[2];
    pid_t parent = getppid();
    fail_set_exit(leave);
    creds_sanitise(false);
    if (argc <= PROGRAM || getuid() != 0 || geteuid() != 0)
        refuse(R_ARGUMENTS, "is run by: jailssh exec", 0);
    if (*argv[TERMINAL] && snprintf(term, sizeof term, "TERM=%s", argv[TERMINAL]) < (int)sizeof term)
        env[0] = term;
    take_plan(argv, &request, &plan);
    filter_read(&plan);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0)
        refuse(R_SETUP, "cannot create a socket pair", errno);
    creds_prepare();
    enter(argv[PID], argv[START]);
    pid_t pid = jail_join(&jail);
    if (pid < 0)
        refuse(R_KERNEL, "cannot start a process in the session", errno);
    close(channel[pid == 0 ? 0 : 1]);
    if (pid == 0)
        run(&plan, &request, channel[1], argv + PROGRAM);
    outer_become(&plan, &request);
    return outer_run(&plan, &request, channel[0], pid, jail.pidfd, parent);
}
