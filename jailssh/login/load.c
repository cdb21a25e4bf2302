/* The plan of this login: the account's, or for a shared one that of the key that was used; or that of an entry. */
#include "load.h"
#include "env.h"
#include "kind.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "creds.h"
#include "daemon.h"
#include "fail.h"
#include "fd.h"
#include "journal.h"
#include "key.h"

/* How often a roster is read whose plans are gone when they are opened. */
enum { ROSTERS = 3 };
enum { IN_JAIL = '@' }; /* in the names of files: stands between an account and a jail, and in the name of neither */

/* The account is its name and its uid: a uid may have become another's since the plan was made. */
static void check_name(const struct plan *plan, const struct request *request)
{
    char detail[600];
    const char *other = request_other_name(request, plan->name);
    if (!other)
        return;
    bool known = kind_is_account(other);
    snprintf(detail, sizeof detail, "plan is for %s, login is of %s", plan->name, known ? other : "another");
    if (known)
        journal_keep("JAILSSH_USER", other);
    refuse(R_NAME, detail, 0);
}

/* What the file's name says must stand in it. */
static bool is_what(const struct plan *plan, const char *which)
{
    if (*which == IN_JAIL)
        return plan_says(plan, OP_JAIL, which + 1) && !plan_is_roster(plan);
    return !*which || (strcmp(plan->serial, which) == 0 && !plan_is_roster(plan));
}

const char *load_file(uid_t uid, const char *which, const struct request *request, struct plan *plan)
{
    char name[256];
    size_t size;
    bool found;
    snprintf(name, sizeof name, "%u%s%s", uid, *which && *which != IN_JAIL ? "." : "", which);
    char *data = fd_read_roots(PLAN_DIR, name, PLAN_MAX_SIZE, &size, &found);
    if (!data)
        return errno == ENOENT ? "" : strerror(errno);
    const char *why = plan_parse(data, size, plan);
    if (!why && plan->uid != uid)
        why = "plan of another user";
    if (!why)
        check_name(plan, request);
    if (!why && !is_what(plan, which))
        why = *which == IN_JAIL ? "plan of another jail" : "not the plan that the roster names";
    return why;
}

/* Who is in a jail by a group may have lost it since the plan was made, or got another one that has a jail too.  The
 * caller's groups are as sshd has just looked them up. */
static bool fits_groups(const struct plan *plan)
{
    static gid_t groups[NGROUPS_MAX + 1];
    int count = getgroups(NGROUPS_MAX, groups);
    if (count < 0)
        refuse(R_SETUP, "cannot read the groups of the session", errno);
    groups[count++] = getgid();
    for (size_t i = 0; i < plan->count; i++) {
        const struct record *record = &plan->records[i];
        bool wanted = record->verb == OP_MEMBER, is_in = false;
        for (int at = 0; at < count && (wanted || record->verb == OP_OUTSIDER); at++)
            is_in = is_in || groups[at] == plan_number(record->args[0], 10);
        if (is_in != wanted)
            return false;
    }
    return true;
}

static void load_own(uid_t uid, const struct request *request, struct plan *plan)
{
    char answer[300];
    const char *why = load_file(uid, "", request, plan);
    if (why ? *why == '\0' : !fits_groups(plan)) {
        if (!daemon_ask(uid, answer, sizeof answer))
            refuse(R_PLAN_MISSING, answer, 0);
        why = load_file(uid, "", request, plan);
        why = why || fits_groups(plan) ? why : "plan is for a session with other groups";
    }
    if (why)
        refuse(R_PLAN_BAD, *why ? why : "plan is still missing", 0);
}

/* The same answer whatever is missing, so that it tells nobody which jails there are. */
static void load_entered(uid_t uid, const struct request *request, struct plan *plan)
{
    char which[80];
    snprintf(which, sizeof which, "%c%s", IN_JAIL, request->jail);
    const char *why = load_file(uid, which, request, plan);
    if (why && *why)
        refuse(R_PLAN_BAD, why, 0);
    if (why || !fits_groups(plan))
        deny(R_NOT_LISTED, "this account is not allowed to enter this jail");
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
        refuse(R_KEY_UNKNOWN, "sshd cannot expose the key: the host's /tmp is full or read-only", 0);
    if (!text)
        refuse(R_KEY_UNKNOWN, *path ? path : "sshd does not expose the key (ExposeAuthInfo)", *path ? error : 0);
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
        const char *why = load_file(uid, key[1], request, &own);
        if (why && *why == '\0' && rosters < ROSTERS)
            why = load_file(uid, "", request, &own);
        else
            name_key(plan, request, key[0]);
        if (why)
            refuse(R_PLAN_BAD, *why ? why : "plan of the key is missing", 0);
    }
    *plan = own;
}

static void name_account(const struct plan *plan)
{
    journal_name(plan->name, "");
    journal_keep("JAILSSH_USER", plan->name);
    journal_keep("JAILSSH_JAIL", plan_first(plan, OP_JAIL)[0]);
}

void load_plan(uid_t uid, struct request *request, struct plan *plan)
{
    if (request->jail)
        load_entered(uid, request, plan);
    else
        load_own(uid, request, plan);
    name_account(plan);
    load_of_key(uid, plan, request);
    journal_keep("JAILSSH_PLAN", plan->serial);
}
