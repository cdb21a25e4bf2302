#include "creds.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "fail.h"
#include "fd.h"

/* The kernel's own calls: those of a C library tell threads that we do not have, by three more calls each. */
#ifdef SYS_setresuid32
enum { SETRESUID = SYS_setresuid32, SETRESGID = SYS_setresgid32, SETGROUPS = SYS_setgroups32 };
#else
enum { SETRESUID = SYS_setresuid, SETRESGID = SYS_setresgid, SETGROUPS = SYS_setgroups };
#endif

bool creds_set_uids(uid_t real, uid_t effective, uid_t saved)
{
    return syscall(SETRESUID, real, effective, saved) == 0;
}

bool creds_set_gids(gid_t real, gid_t effective, gid_t saved)
{
    return syscall(SETRESGID, real, effective, saved) == 0;
}

/* As prlimit64(2) takes it on every architecture; the C library's struct rlimit is smaller on some. */
struct limit {
    uint64_t soft, hard;
};
static const uint64_t UNLIMITED = ~(uint64_t)0;
static struct limit callers_limits[RLIM_NLIMITS];
static struct limit limits_now[RLIM_NLIMITS];
/* What can stop this program, or what a plan can name; the others stay as the caller has them. */
static const int limits[] = { RLIMIT_AS,      RLIMIT_CORE,   RLIMIT_CPU,   RLIMIT_DATA, RLIMIT_FSIZE,
                              RLIMIT_MEMLOCK, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_STACK };
enum { LIMITS = sizeof limits / sizeof *limits };

/* Most limits of most callers are as wanted already. */
static bool set_limit(int limit, const struct limit *wanted)
{
    struct limit *now = &limits_now[limit];
    if (now->soft == wanted->soft && now->hard == wanted->hard)
        return true;
    if (syscall(SYS_prlimit64, 0, limit, wanted, NULL) != 0)
        return false;
    *now = *wanted;
    return true;
}

/* Each change of the effective or the file system ids sets it to fs.suid_dumpable (proc_sys_fs(5)). */
static void stay_undumpable(void)
{
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        refuse(R_SETUP, "cannot clear the dumpable attribute", errno);
}

void creds_sanitise(bool keep_open)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL); /* held until somebody is there to pass them on */
    /* By the kernel's own call: a C library keeps some numbers to itself, and what the caller ignores stays ignored,
     * by CLONE_CLEAR_SIGHAND too. */
    static const unsigned long usual[16];
    for (int number = 1; number < NSIG; number++)
        syscall(SYS_rt_sigaction, number, usual, NULL, NSIG / 8);
    static const struct itimerval none;
    setitimer(ITIMER_REAL, &none, NULL);
    setitimer(ITIMER_VIRTUAL, &none, NULL);
    setitimer(ITIMER_PROF, &none, NULL);
    umask(077);
    personality(PER_LINUX);
    stay_undumpable();
    for (int i = 0; i < LIMITS; i++) {
        int limit = limits[i];
        struct limit *caller = &callers_limits[limit], roomy = { UNLIMITED, UNLIMITED };
        syscall(SYS_prlimit64, 0, limit, NULL, caller);
        limits_now[limit] = *caller;
        if (limit == RLIMIT_NOFILE) /* cannot be infinite, and 1024 is plenty */
            roomy = (struct limit){ 1024, caller->hard < 1024 ? 1024 : caller->hard };
        else if (limit == RLIMIT_CORE || limit == RLIMIT_STACK)
            roomy.soft = limit == RLIMIT_CORE ? 0 : 8 << 20;
        if (!set_limit(limit, &roomy)) { /* without CAP_SYS_RESOURCE: as far as the caller could have gone */
            roomy.hard = caller->hard;
            roomy.soft = roomy.soft < roomy.hard ? roomy.soft : roomy.hard;
            set_limit(limit, &roomy);
        }
    }
    if (!keep_open && !fd_sanitise())
        refuse(R_SETUP, "cannot close inherited descriptors", errno);
}

uid_t creds_identity(void)
{
    uid_t real, effective, saved;
    if (getresuid(&real, &effective, &saved) != 0 || real == 0 || real > 0x7fffffff)
        refuse(R_ROOT, "must not be run as root", 0);
    /* With file capabilities the effective uid is still the user's; CAP_SETUID lifts it.  Power stays what the file
     * capabilities gave. */
    if (effective != 0 && !creds_set_uids((uid_t)-1, 0, 0))
        refuse(R_MISINSTALLED, "program is not set-uid root and lacks its file capabilities", 0);
    if (!creds_set_gids((gid_t)-1, 0, 0))
        refuse(R_MISINSTALLED, "cannot act as group root", errno);
    stay_undumpable();
    return real;
}

void creds_files_as(uid_t uid, gid_t gid)
{
    setfsgid(gid);
    setfsuid(uid);
    /* setfsuid(2) reports no error: a second call tells what is in force. */
    if (setfsuid(uid) != (int)uid || setfsgid(gid) != (int)gid)
        refuse(R_SETUP, "cannot open files as the user", 0);
    stay_undumpable();
}

/* Made as root, whose keys it counts among (keyrings(7)): those of the account are few, and pam_keyinit(8) makes one
 * for each session too.  Where no keyring can be reached, as in most containers, none is in the way; and the filter
 * keeps the jail from all. */
static void leave_keyring(void)
{
    uid_t real = getuid();
    if (!creds_set_uids(0, (uid_t)-1, (uid_t)-1))
        refuse(R_SETUP, "cannot act as root", errno);
    long done = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
    int error = done < 0 ? errno : 0;
    if (!creds_set_uids(real, (uid_t)-1, (uid_t)-1))
        refuse(R_SETUP, "cannot act as the user", errno);
    if (error && error != ENOSYS && error != EPERM && error != EDQUOT)
        refuse(R_SETUP, "cannot join a new session keyring", error);
}

void creds_prepare(void)
{
    int cap = errno = 0;
    while (prctl(PR_CAPBSET_DROP, cap) == 0 && prctl(PR_CAPBSET_READ, cap) == 0)
        cap++;
    if (errno != EINVAL || cap <= CAP_SETFCAP) /* EINVAL: one past the last that this kernel knows */
        refuse(R_SETUP, "cannot empty the capability bounding set", errno);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        refuse(R_SETUP, "cannot empty the ambient capabilities", errno);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        refuse(R_SETUP, "cannot set no_new_privs", errno);
    leave_keyring();
}

static bool capabilities_are_gone(void)
{
    static const struct __user_cap_data_struct none[2];
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct sets[2];
    memset(sets, 0xff, sizeof sets);
    return syscall(SYS_capget, &header, sets) == 0 && memcmp(sets, none, sizeof sets) == 0;
}

void creds_drop(const struct plan *plan, const gid_t *groups, size_t count)
{
    const int bits = SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP | SECBIT_NO_CAP_AMBIENT_RAISE;
    const int locked = bits | bits << 1 | SECBIT_KEEP_CAPS_LOCKED;
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct none[2] = { { 0 } };
    uid_t uid[3];
    gid_t gid[3];
    if (prctl(PR_SET_SECUREBITS, locked) != 0)
        refuse(R_DROP, "cannot lock the securebits", errno);
    /* The caller's groups are seen to go, so that the number tells whose those are that come.  Not dumpable before it
     * is powerless: until then the user cannot trace it either way (ptrace(2), PTRACE_MODE_ATTACH). */
    if (syscall(SETGROUPS, 0, NULL) != 0 || getgroups(0, NULL) != 0 || syscall(SETGROUPS, count, groups) != 0 ||
        !creds_set_gids(plan->gid, plan->gid, plan->gid) || !creds_set_uids(plan->uid, plan->uid, plan->uid) ||
        prctl(PR_SET_DUMPABLE, 0) != 0 || syscall(SYS_capset, &header, none) != 0)
        refuse(R_DROP, "cannot become the user", errno);
    if (getresuid(&uid[0], &uid[1], &uid[2]) != 0 || getresgid(&gid[0], &gid[1], &gid[2]) != 0)
        refuse(R_DROP, "cannot read the ids", errno);
    for (int i = 0; i < 3; i++)
        if (uid[i] != plan->uid || gid[i] != plan->gid || getgroups(0, NULL) != (int)count)
            refuse(R_DROP, "ids are not the user's after the drop", 0);
    if (creds_set_uids((uid_t)-1, 0, (uid_t)-1) || creds_set_gids((gid_t)-1, 0, (gid_t)-1) ||
        !capabilities_are_gone() || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_SECUREBITS) != locked)
        refuse(R_DROP, "privileges can be regained after the drop", 0);
}

/* landlock(7).  Defined here since the headers of older distributions end before ABI 6. */
struct ruleset {
    uint64_t handled_access_fs, handled_access_net, scoped;
};
enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1, SCOPE_SIGNAL = 2, RULESET_VERSION = 1, SCOPE_ABI = 6 };

bool creds_can_scope(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION) >= SCOPE_ABI;
}

enum { REFER = 1 << 13, PATH_BENEATH = 1 };

/* Moving files between directories is denied by each layer that does not say otherwise, once one of them is about
 * files (landlock(7), LANDLOCK_ACCESS_FS_REFER): this one allows it everywhere, and leaves it to within.c. */
static bool allow_moves(int ruleset)
{
    struct {
        uint64_t allowed;
        int32_t parent;
    } __attribute__((packed)) beneath = { REFER, fd_walk(AT_FDCWD, "/", O_PATH | O_DIRECTORY, FD_ANY) };
    bool allowed = syscall(SYS_landlock_add_rule, ruleset, PATH_BENEATH, &beneath, 0) == 0;
    close(beneath.parent);
    return allowed;
}

void creds_scope(bool files_too, bool signals)
{
    struct ruleset rules = { .handled_access_fs = files_too ? REFER : 0,
                             .scoped = SCOPE_ABSTRACT_UNIX_SOCKET | (signals ? SCOPE_SIGNAL : 0) };
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
    if (fd < 0 || (files_too && !allow_moves(fd)) || syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        refuse(R_DROP, "cannot enforce the Landlock scope", errno);
    close(fd);
}

static void lower(int limit, uint64_t most)
{
    struct limit *old = &callers_limits[limit];
    old->hard = old->hard < most ? old->hard : most;
    old->soft = old->soft < old->hard ? old->soft : old->hard;
}

/* What would end the jail's first process, or keep it from starting the command, where it counts for that process or
 * for all of the account's. */
static bool is_of_command(int limit)
{
    return limit == RLIMIT_CPU || limit == RLIMIT_NOFILE || limit == RLIMIT_NPROC;
}

void creds_limits(const struct plan *plan)
{
    static const struct {
        const char *name;
        int limit;
    } names[] = { { "as", RLIMIT_AS },         { "core", RLIMIT_CORE },   { "cpu", RLIMIT_CPU },
                  { "data", RLIMIT_DATA },     { "fsize", RLIMIT_FSIZE }, { "memlock", RLIMIT_MEMLOCK },
                  { "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC }, { "stack", RLIMIT_STACK } };
    for (size_t i = 0; i < plan->count; i++)
        for (size_t n = 0; plan->records[i].verb == OP_RLIMIT && n < sizeof names / sizeof *names; n++)
            if (strcmp(names[n].name, plan->records[i].args[0]) == 0)
                lower(names[n].limit, strtoull(plan->records[i].args[1], NULL, 10));
    lower(RLIMIT_CORE, 0);
    for (int i = 0; i < LIMITS; i++)
        if (!is_of_command(limits[i]) && !set_limit(limits[i], &callers_limits[limits[i]]))
            refuse(R_LIMITS, "cannot set the resource limits", errno);
}

bool creds_limits_of_command(void)
{
    for (int i = 0; i < LIMITS; i++)
        if (is_of_command(limits[i]) && syscall(SYS_prlimit64, 0, limits[i], &callers_limits[limits[i]], NULL) != 0)
            return false;
    return true;
}
