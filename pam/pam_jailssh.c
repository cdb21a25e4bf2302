/* pam_jailssh(8): who is in a jail comes in by sshd, and by what `jailssh setup` was told besides.
 *
 * Root and accounts in no jail get PAM_IGNORE in every phase, whatever of ours is missing or broken.  Who is in a jail
 * is refused in doubt. */
#include <errno.h>
#include <fcntl.h>
#include <shadow.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#pragma GCC visibility push(default)
#include <security/pam_modules.h>
#pragma GCC visibility pop
#include <security/pam_ext.h>
#include <security/pam_modutil.h>

#include "../jailssh/login/command/limit.h"
#include "../jailssh/login/fd.h"
#include "../jailssh/login/net_pin.h"
#include "../jailssh/login/plan.h"
#include "module.h"

/* `jailssh check` looks for this in the file. */
__attribute__((used)) static const char version[] = "jailssh-pam-module " VERSION;

#define PAM_TABLE "pam"
#define GROUP "jailssh"                      /* whose members are in a jail, whatever the table says */
#define FORWARDED "jailssh-forward"          /* for whose members the drop-in lets sshd forward */
#define FOUND "jailssh-person"               /* what a phase keeps for those behind it in the same process */
enum { DAY = 86400, LOCKED = 1, GATED = 2 }; /* days of shadow(5): of `jailssh lock`; of whom sshd forwards for */

/* Somebody in a jail, or lost to it: is_shell, in no group.  What could not be read has a reason in its fault. */
struct person {
    const struct passwd *entry;
    char *plan_data, *table_data;
    const char *plan_fault, *plan_code, *table_fault;
    bool in_group, is_shell;
    bool is_member, is_forwarded; /* of FORWARDED; of those that sshd forwards for */
    long expires;                 /* the day of shadow(5) from which on it has, -1 for none */
    struct plan plan;             /* its count is 0 where there is none */
    struct table table;
};

static void read_table(struct person *person)
{
    size_t size;
    bool there;
    person->table_data = fd_read_roots(PAM_TABLE_DIR, PAM_TABLE, TABLE_MAX_SIZE, &size, &there);
    person->table_fault = person->table_data ? table_parse(person->table_data, size, &person->table) : strerror(errno);
}

/* True for a plan of this uid that is this account's, or nobody's.  Without their directory the groups alone tell. */
static bool has_plan(struct person *person)
{
    char name[16];
    size_t size;
    bool there;
    snprintf(name, sizeof name, "%u", person->entry->pw_uid);
    person->plan_code = "plan-bad";
    char *data = fd_read_roots(PLAN_DIR, name, PLAN_MAX_SIZE, &size, &there);
    if (!data && (!there || errno == ENOENT))
        return false;
    person->plan_data = data;
    person->plan_fault = person->plan_data ? plan_parse(person->plan_data, size, &person->plan) : strerror(errno);
    if (person->plan_fault || !person->plan_data)
        return true;
    if (person->plan.uid != person->entry->pw_uid)
        person->plan_fault = "plan of another user";
    if (strcmp(person->plan.name, person->entry->pw_name) == 0)
        return true;
    /* A plan of an account that had this uid before says nothing of whether the one that has it now is in a jail. */
    person->plan_fault = "the plan of its uid was made for another account";
    person->plan_code = "name";
    return false;
}

static bool has_group(pam_handle_t *pamh, const struct person *person)
{
    const char *name = person->entry->pw_name;
    if (pam_modutil_user_in_group_nam_nam(pamh, name, GROUP))
        return true;
    bool found = false;
    for (size_t i = 0; !person->table_fault && !found && i < person->table.count; i++)
        found = person->table.rows[i].word == TABLE_GROUP && person->entry->pw_uid >= person->table.min_uid &&
                pam_modutil_user_in_group_nam_nam(pamh, name, person->table.rows[i].value);
    return found;
}

static void person_free(pam_handle_t *pamh, void *data, int status)
{
    struct person *person = data;
    (void)pamh, (void)status;
    plan_free(&person->plan);
    free(person->plan_data);
    free(person->table_data);
    free(person);
}

/* Whom PAM asks about; NULL: root, nobody known, in no jail.  AGAIN: as found before in this process, if so. */
static const struct person *find_person(pam_handle_t *pamh, bool again)
{
    const char *name = NULL;
    const void *found = NULL;
    if (pam_get_user(pamh, &name, NULL) != PAM_SUCCESS || !name || !*name)
        return NULL;
    if (again && pam_get_data(pamh, FOUND, &found) == PAM_SUCCESS && found &&
        strcmp(((const struct person *)found)->entry->pw_name, name) == 0)
        return found;
    const struct passwd *entry = pam_modutil_getpwnam(pamh, name);
    struct person *person = entry && entry->pw_uid != 0 ? calloc(1, sizeof *person) : NULL;
    if (!person)
        return NULL;
    person->entry = entry;
    read_table(person);
    person->in_group = has_group(pamh, person);
    person->is_shell = strcmp(entry->pw_shell, LOGIN_PROGRAM) == 0;
    if (!has_plan(person) && !person->in_group && !person->is_shell) {
        person_free(pamh, person, 0);
        return NULL;
    }
    pam_set_data(pamh, FOUND, person, person_free); /* which where it fails stays until the process ends */
    const struct spwd *shadow = pam_modutil_getspnam(pamh, name);
    person->expires = shadow ? shadow->sp_expire : -1;
    person->is_member = pam_modutil_user_in_group_nam_nam(pamh, name, FORWARDED);
    person->is_forwarded = person->is_member || net_pin_is_wanted(entry->pw_uid);
    return person;
}

static struct subject subject(const struct person *person)
{
    char *const *jail = plan_first(&person->plan, OP_JAIL);
    return (struct subject){ person->entry->pw_name, person->entry->pw_uid, jail ? jail[0] : NULL };
}

static void tell(pam_handle_t *pamh, int flags, const char *reference)
{
    const void *talk = NULL;
    if (!((unsigned)flags & PAM_SILENT) && pam_get_item(pamh, PAM_CONV, &talk) == PAM_SUCCESS && talk &&
        ((const struct pam_conv *)talk)->conv)
        pam_error(pamh,
                  "jailssh: this account is in a jail and cannot come in this way; give your administrator "
                  "reference %.8s",
                  reference);
}

/* Tell whoever asks and the administrator; ANSWER is what PAM gets.  A check of this host is nobody's login, and no
 * program lets a user choose the name of its terminal. */
__attribute__((format(printf, 6, 7))) static int refuse(pam_handle_t *pamh, int flags, const struct person *person,
                                                        int answer, const char *code, const char *format, ...)
{
    char detail[400], text[600], reference[REFERENCE_SIZE];
    va_list values;
    if (strcmp(module_item(pamh, PAM_TTY), "jailssh-check") == 0)
        return answer;
    va_start(values, format);
    vsnprintf(detail, sizeof detail, format, values);
    va_end(values);
    record_name(reference);
    snprintf(text, sizeof text, "refused by PAM for %.64s (%s): %s", module_item(pamh, PAM_SERVICE), code, detail);
    if (!record_refusal(subject(person), code, reference, module_item(pamh, PAM_RHOST), text))
        pam_syslog(pamh, LOG_WARNING, "%s: %s; reference %.8s", person->entry->pw_name, text, reference);
    tell(pamh, flags, reference);
    return answer;
}

static int refuse_as(pam_handle_t *pamh, int flags, const struct person *person, int answer, const char *why)
{
    return refuse(pamh, flags, person, answer, "pam-session", "%s%s%s", why, errno ? ": " : "",
                  errno ? strerror(errno) : "");
}

static bool is_inside(const struct person *person, const char *service)
{
    return service_can_be_inside(service) && table_has(&person->table, TABLE_INSIDE, service);
}

/* What sshd forwards comes from this process and its children: in the account's network then, or there is no login. */
static const char *enter_network(pam_handle_t *pamh, const struct person *person)
{
    bool by_sshd =
        strcmp(module_item(pamh, PAM_SERVICE), "sshd") == 0 || strcmp(module_item(pamh, PAM_TTY), "ssh") == 0;
    errno = 0;
    if (!by_sshd || !person->is_forwarded)
        return NULL;
    if (person->is_member && person->expires != GATED)
        return "it is in the group " FORWARDED " without its day of expiry; to mend it: jailssh apply";
    return net_pin_enter(person->entry->pw_uid);
}

/* The group for whose members sshd forwards in the host's network, by a plan that is this account's; or NULL. */
static const char *forward_group(const struct person *person)
{
    char *const *forward = person->plan_fault ? NULL : plan_first(&person->plan, OP_FORWARD);
    return forward ? forward[0] : NULL;
}

/* Of whom sshd forwards for in the host's network: no login program looks at such a login, so what that would deny is
 * denied here.  Its plan, the group that the drop-in goes by and the day of expiry must say the same. */
static enum reason judge_forwarded(pam_handle_t *pamh, const struct person *person, char *sentence, size_t size)
{
    const char *group = forward_group(person);
    if (!group)
        return R_NONE;
    snprintf(sentence, size, "sshd forwards nothing for it yet; to let it in: jailssh apply");
    if (person->expires != GATED || !pam_modutil_user_in_group_nam_nam(pamh, person->entry->pw_name, group))
        return R_NOT_SERVED;
    return limit_judge(&person->plan, record_client(pamh), time(NULL), sentence, size);
}

static int judge(pam_handle_t *pamh, int flags, const struct person *person)
{
    const char *service = module_item(pamh, PAM_SERVICE), *why;
    char sentence[80];
    enum reason reason;
    long expires = person->expires;
    bool gated = expires == GATED && (person->is_forwarded || forward_group(person));
    int yes = gated ? PAM_TRY_AGAIN : PAM_SUCCESS; /* the profile goes past pam_unix, which would refuse */
    if (service_is_su_by_root(service))
        return yes;
    if (person->table_fault)
        return refuse(pamh, flags, person, PAM_PERM_DENIED, "pam-table", "%s/%s %s; to mend it: jailssh setup",
                      PAM_TABLE_DIR, PAM_TABLE, person->table_fault);
    if (!person->in_group && person->is_shell) /* a directory took its group away: sshd would forward for it */
        return refuse(pamh, flags, person, PAM_PERM_DENIED, "not-jailed",
                      "its login shell is %s, and it is in no group that has a jail; to give it one: jailssh adduser",
                      LOGIN_PROGRAM);
    bool through = table_has(&person->table, TABLE_THROUGH, service);
    if (strcmp(service, "sshd") != 0 && !through && !is_inside(person, service))
        return refuse(pamh, flags, person, PAM_PERM_DENIED, "service",
                      "an account in a jail comes in by sshd alone; %sto let it through, outside of the jail: "
                      "pam_services = %s; in /etc/jailssh/jailssh.conf, then jailssh setup",
                      service_can_be_inside(service) ? "to run its commands in the jail: pam_inside; " : "", service);
    if (expires >= 0 && !gated && time(NULL) / DAY >= expires)
        return refuse(pamh, flags, person, PAM_ACCT_EXPIRED, expires == LOCKED ? "locked" : "expired", "%s",
                      expires == LOCKED ? "the account is locked; to allow its logins: jailssh unlock"
                                        : "the account is expired (chage --list)");
    if ((reason = judge_forwarded(pamh, person, sentence, sizeof sentence)))
        return refuse(pamh, flags, person, PAM_PERM_DENIED, reason_code(reason), "%s", sentence);
    if ((why = enter_network(pamh, person)))
        return refuse_as(pamh, flags, person, PAM_PERM_DENIED, why);
    if (through)
        return yes;
    if (!person->is_shell)
        return refuse(pamh, flags, person, PAM_PERM_DENIED, "shell",
                      "its login shell is another than %s, and would read files of the account's outside of the jail; "
                      "jailssh apply sets the shell of local accounts, in a directory: override_shell",
                      LOGIN_PROGRAM);
    if (person->plan_fault && strcmp(service, "sshd") != 0) /* of a login the login program tells it, and more */
        return refuse(pamh, flags, person, PAM_PERM_DENIED, person->plan_code, "%s", person->plan_fault);
    return yes;
}

int pam_sm_acct_mgmt(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    (void)argc, (void)argv;
    const struct person *person = find_person(pamh, false);
    return person ? judge(pamh, flags, person) : PAM_IGNORE;
}

/* What a service that runs commands inside starts from here on is the login program, or nothing. */
int pam_sm_open_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    (void)argc, (void)argv;
    int answer = PAM_IGNORE;
    const char *service = module_item(pamh, PAM_SERVICE), *why = NULL;
    const struct person *person = service_is_su_by_root(service) ? NULL : find_person(pamh, true);
    if (person && person->table_fault)
        why = person->table_fault;
    else if (person && is_inside(person, service)) {
        errno = 0;
        why = view_enter();
        answer = PAM_SUCCESS;
    } else if (person) { /* again: keyboard-interactive's account phase is another process's */
        why = enter_network(pamh, person);
        if (!why && forward_group(person) && strcmp(service, "sshd") == 0)
            record_session(pamh, subject(person), true);
    }
    return why ? refuse_as(pamh, flags, person, PAM_SESSION_ERR, why) : answer;
}

int pam_sm_close_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
    (void)flags, (void)argc, (void)argv;
    const struct person *person = find_person(pamh, true);
    if (person)
        record_session(pamh, subject(person), false);
    return PAM_IGNORE;
}
