#include "powers.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/securebits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "creds.h"
#include "fail.h"

typedef unsigned long long capabilities;

static bool set_capabilities(capabilities permitted, capabilities inheritable)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct sets[2] = {
        { (unsigned)permitted, (unsigned)permitted, (unsigned)inheritable },
        { (unsigned)(permitted >> 32), (unsigned)(permitted >> 32), (unsigned)(inheritable >> 32) },
    };
    return syscall(SYS_capset, &header, sets) == 0;
}

static bool capabilities_are(capabilities wanted)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct sets[2];
    return syscall(SYS_capget, &header, sets) == 0 && sets[0].permitted == (unsigned)wanted &&
           sets[1].permitted == (unsigned)(wanted >> 32) && sets[0].effective == sets[0].permitted &&
           sets[1].effective == sets[1].permitted;
}

static capabilities bit(int capability)
{
    return 1ull << capability;
}

/* What the bounding set has beside KEPT goes. */
static void bound(capabilities kept)
{
    int cap = errno = 0;
    for (; cap < 64 && prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
        if (!(kept & bit(cap)) && prctl(PR_CAPBSET_DROP, cap) != 0)
            refuse(R_DROP, "cannot empty the capability bounding set", errno);
    if (cap <= CAP_SETFCAP)
        refuse(R_DROP, "cannot read the capability bounding set", errno);
}

/* In a user namespace of who may not change groups (user_namespaces(7)) the caller's stay; they are the caller's own.
 */
static void set_ids(const struct plan *plan)
{
    static gid_t groups[PLAN_MAX_GROUPS]; /* the reader takes no more */
    size_t n = 0;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->records[i].verb == OP_GROUP)
            groups[n++] = (gid_t)plan_number(plan->records[i].args[0], 10);
    bool own = plan_first(plan, OP_NEW_USERS) && n == 0;
    if (setgroups(n, groups) != 0 && !(own && errno == EPERM))
        refuse(R_DROP, "cannot set the groups", errno);
    if (!creds_set_gids(plan->gid, plan->gid, plan->gid) || !creds_set_uids(plan->uid, plan->uid, plan->uid))
        refuse(R_DROP, errno == EINVAL ? "user or group of the command is not in the maps" : "cannot become the user",
               errno == EINVAL ? 0 : errno);
}

static void check_ids(const struct plan *plan)
{
    uid_t uid[3];
    gid_t gid[3];
    if (getresuid(&uid[0], &uid[1], &uid[2]) != 0 || getresgid(&gid[0], &gid[1], &gid[2]) != 0)
        refuse(R_DROP, "cannot read the ids", errno);
    for (int i = 0; i < 3; i++)
        if (uid[i] != plan->uid || gid[i] != plan->gid)
            refuse(R_DROP, "ids are not the user's after the drop", 0);
}

void powers_drop(const struct plan *plan)
{
    const int bits = SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP;
    /* Of no effect beside the others, but a daemon may call its failing fatal (named(8)). */
    const int of_keeping = plan_first(plan, OP_DAEMON) ? 0 : SECBIT_KEEP_CAPS_LOCKED;
    const int locked = (bits | SECBIT_NO_CAP_AMBIENT_RAISE) * 3 | of_keeping;
    capabilities kept = 0;
    (void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL); /* of no use where it cannot be done */
    for (size_t i = 0; i < plan->count; i++)
        if (plan->records[i].verb == OP_KEEP_CAP)
            kept |= bit((int)(plan_number(plan->records[i].args[1], 10) & 63));
    if (plan_first(plan, OP_INIT)) { /* its programs may be set-uid, and its root has these in its own namespaces */
        bound(kept);
        set_ids(plan);
        kept = plan->uid == 0 ? kept : 0;
        if (!set_capabilities(kept, 0) || !capabilities_are(kept))
            refuse(R_DROP, "cannot keep these capabilities", errno);
        check_ids(plan);
        return;
    }
    if (plan_first(plan, OP_PRIVILEGED)) {
        set_ids(plan);
        check_ids(plan);
        return;
    }
    bound(kept | bit(CAP_SETPCAP)); /* the last of them is needed to the end */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECUREBITS, bits) != 0)
        refuse(R_DROP, "cannot give up privileges", errno);
    set_ids(plan);
    if (!set_capabilities(kept | bit(CAP_SETPCAP), kept))
        refuse(R_DROP, "cannot keep these capabilities", errno);
    for (int cap = 0; cap < 64; cap++)
        if (kept & bit(cap) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0)
            refuse(R_DROP, "cannot keep these capabilities", errno);
    bound(kept);
    if (prctl(PR_SET_SECUREBITS, locked) != 0 || !set_capabilities(kept, kept))
        refuse(R_DROP, "cannot give up the capabilities", errno);
    check_ids(plan);
    if (!capabilities_are(kept) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_SECUREBITS) != locked ||
        (plan->uid != 0 && !(kept & bit(CAP_SETUID)) && creds_set_uids((uid_t)-1, 0, (uid_t)-1)))
        refuse(R_DROP, "privileges can be regained after the drop", 0);
}

void powers_of_outer(void)
{
    capabilities kill_others = geteuid() == 0 ? bit(CAP_KILL) : 0;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !set_capabilities(kill_others, 0) ||
        !capabilities_are(kill_others))
        refuse(R_DROP, "cannot give up the capabilities of the outer half", errno);
}
