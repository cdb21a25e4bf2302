/* jailssh-login: the login shell and forced command of jailed accounts.  The order below is the design; README.md says
 * why each step stands where it stands. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "creds.h"
#include "daemon.h"
#include "fail.h"
#include "fd.h"
#include "journal.h"
#include "key.h"
#include "match.h"
#include "mount.h"
#include "nojournal.h"
#include "session.h"
#include "slot.h"

/* How often a roster is read whose plans are gone when they are opened. */
enum { ROSTERS = 3 };

/* The account is its name and its uid: a uid may have become another's since the plan was made. */
static void check_name(const struct plan *plan, const struct request *request)
{
    char detail[600];
    const char *other = request_other_name(request, plan->name);
    if (!other)
        return;
    bool known = kind_is_account(other);
    snprintf(detail, sizeof detail, "the plan is for %s, the login is of %s", plan->name, known ? other : "another");
    if (known)
        journal_keep("JAILSSH_USER", other);
    refuse("name", detail, 0);
}

/* Read the plan of an account, or with SERIAL that of a key of a shared account's.  Returns NULL, or why not; "" where
 * there is none. */
static const char *load(uid_t uid, const char *serial, const struct request *request, struct plan *plan)
{
    char name[256];
    size_t size;
    snprintf(name, sizeof name, "%u%s%s", uid, *serial ? "." : "", serial);
    int dir = fd_walk(AT_FDCWD, PLAN_DIR, O_PATH | O_DIRECTORY, FD_ROOT_ONLY);
    char *data = dir < 0 ? NULL : fd_read_owned(dir, name, 0, S_IWGRP | S_IWOTH, PLAN_MAX_SIZE, &size);
    if (!data)
        return errno == ENOENT ? "" : strerror(errno);
    close(dir);
    const char *why = plan_parse(data, size, plan);
    if (!why && plan->uid != uid)
        why = "plan of another user";
    if (!why)
        check_name(plan, request);
    if (!why && *serial && (strcmp(plan->serial, serial) != 0 || plan_is_roster(plan)))
        why = "not the plan that the roster names";
    return why;
}

static void load_or_ask(uid_t uid, const struct request *request, struct plan *plan)
{
    char answer[300];
    const char *why = load(uid, "", request, plan);
    if (why && *why == '\0') {
        if (!daemon_ask(uid, answer, sizeof answer))
            refuse("plan-missing", answer, 0);
        why = load(uid, "", request, plan);
    }
    if (why)
        refuse("plan-bad", *why ? why : "the plan is still missing", 0);
}

/* sshd writes the key into a file in /tmp, and lets people in also where that cannot be written. */
static bool tmp_is_full(void)
{
    struct statvfs tmp;
    return statvfs("/tmp", &tmp) == 0 &&
           (tmp.f_bavail == 0 || (tmp.f_files != 0 && tmp.f_favail == 0) || tmp.f_flag & ST_RDONLY);
}

/* The record of the key by which sshd let the caller in, told by a file of the account's own. */
static char *const *find_key(const struct plan *roster, const char *path)
{
    static struct key_doubt doubt;
    size_t size;
    creds_files_as(roster->uid, roster->gid);
    char *text = fd_read_owned(AT_FDCWD, path, roster->uid, S_IRWXG | S_IRWXO, KEY_FILE_MAX, &size);
    int error = errno;
    creds_files_as(0, 0);
    if (!text && tmp_is_full())
        refuse("key-unknown", "sshd cannot tell the key: the host's /tmp is full or read-only, make room there", 0);
    if (!text)
        refuse("key-unknown", *path ? path : "sshd does not tell the key (ExposeAuthInfo)", *path ? error : 0);
    char *const *record = key_find(roster, text, size, &doubt);
    if (!record)
        refuse(doubt.reason, doubt.detail, 0);
    return record;
}

static void name_key(const struct plan *plan, struct request *request, const char *key)
{
    request->key = key;
    journal_keep("JAILSSH_KEY", key);
    journal_name(plan->name, key);
}

/* Put the plan of the key in the place of the roster.  Its file is gone where a new roster has been published since. */
static void load_of_key(uid_t uid, struct plan *plan, struct request *request)
{
    struct plan own = *plan;
    for (int rosters = 1; plan_is_roster(&own); rosters++) {
        *plan = own;
        char *const *key = find_key(plan, request->auth_file);
        const char *why = load(uid, key[1], request, &own);
        if (why && *why == '\0' && rosters < ROSTERS)
            why = load(uid, "", request, &own);
        else
            name_key(plan, request, key[0]);
        if (why)
            refuse("plan-bad", *why ? why : "the plan of the key is missing", 0);
    }
    *plan = own;
}

static void new_session_id(char id[17])
{
    unsigned long long number = 0;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        refuse("setup", "no random numbers", errno);
    snprintf(id, 17, "%016llx", number);
}

static void name_session(const struct plan *plan)
{
    journal_name(plan->name, "");
    journal_keep("JAILSSH_USER", plan->name);
    journal_keep("JAILSSH_JAIL", plan_first(plan, OP_JAIL)[0]);
}

/* clone(2) into new namespaces.  Returns as fork(2) does; *PIDFD is set in the parent. */
static pid_t clone_jail(bool own_net, int *pidfd)
{
    unsigned long flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_PIDFD |
                          (own_net ? CLONE_NEWNET : 0u) | SIGCHLD;
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

int main(int argc, char **argv)
{
    static struct request request;
    static struct plan plan;
    char id[17], uid_text[16];
    int channel[2], pidfd = -1;
    pid_t parent = getppid();
    if (argc < 1 || !argv[0])
        return EXIT_NOT_FOUND;
    creds_sanitise();
    bool known_way_in = request_take(argc, argv, environ, &request);
    new_session_id(id);
    fail_name_session(id);
    bool journal = journal_connect();
    snprintf(uid_text, sizeof uid_text, "%u", getuid());
    journal_keep("JAILSSH_SESSION", id);
    journal_keep("JAILSSH_UID", uid_text);
    if (*request.peer)
        journal_keep("JAILSSH_PEER", request.peer);
    uid_t uid = creds_identity();
    if (!journal)
        nojournal_open();
    if (!known_way_in)
        refuse("arguments", "called in a way that no login uses", 0);
    load_or_ask(uid, &request, &plan);
    name_session(&plan);
    load_of_key(uid, &plan, &request);
    journal_keep("JAILSSH_PLAN", plan.serial);
    if (!journal && plan_says(&plan, OP_JOURNAL, "require"))
        refuse("journal", "no journal, and this jail requires one", 0);
    slot_take(&plan, request.key);
    int image = mount_open_image(&plan);
    mount_open_sources(&plan);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0)
        refuse("setup", "no socket pair", errno);
    /* The empty network namespace is shared, so abstract sockets must be kept apart by other means; these leave the
     * names taken, and a /proc would show the names of everybody's sockets (proc_net(5)). */
    bool no_net = plan_says(&plan, OP_NET, "none");
    bool share = no_net && !plan_first(&plan, OP_PROC) && !runs_code(&plan) && creds_can_scope();
    bool base = pin_enter(image, &share);
    if (!base)
        mount_take_image(image);
    creds_prepare();
    pid_t jail = clone_jail(no_net && !share, &pidfd);
    if (jail < 0)
        refuse("kernel", "cannot make the namespaces", errno);
    close(channel[jail == 0 ? 0 : 1]);
    if (jail == 0) {
        slot_leave();
        inner_run(&plan, &request, channel[1], base);
    }
    return outer_run(&plan, &request, channel[0], jail, pidfd, parent);
}
