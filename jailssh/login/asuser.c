#include "asuser.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "creds.h"
#include "fail.h"

struct call {
    const struct plan *plan;
    int (*act)(void *);
    void *with;
    int result, error;
};

/* With fs.suid_dumpable=1 (proc_sys_fs(5)) a change of ids makes a process traceable, and what follows would be the
 * user's to trace.  A change of the file system's ids tells, at which nobody can, as the others differ. */
static bool ids_make_traceable(const struct plan *plan)
{
    setfsuid(plan->uid);
    int dumpable = prctl(PR_GET_DUMPABLE);
    setfsuid(0);
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        refuse(R_SETUP, "cannot clear the dumpable attribute", errno);
    return dumpable == 1;
}

/* Shares memory and descriptors with the login program, which waits for it.  Nobody can trace it: it is not dumpable.
 */
static int be_user(void *arg)
{
    struct call *call = arg;
    uid_t uid = call->plan->uid;
    gid_t gid = call->plan->gid;
    if (creds_set_gids(gid, gid, gid) && creds_set_uids(uid, uid, uid))
        call->result = call->act(call->with);
    call->error = errno;
    _exit(0);
}

int as_user(const struct plan *plan, int (*act)(void *), void *with)
{
    static char stack[32768] __attribute__((aligned(64)));
    struct call call = { plan, act, with, -1, 0 };
    creds_files_as(plan->uid, plan->gid);
    call.result = act(with);
    call.error = errno;
    creds_files_as(0, 0);
    if (call.result < 0 && call.error == EACCES && !ids_make_traceable(plan)) {
        int flags = CLONE_VM | CLONE_FILES | CLONE_VFORK | SIGCHLD;
        pid_t pid = clone(be_user, stack + sizeof stack, flags, &call);
        if (pid < 0 || waitpid(pid, NULL, 0) != pid || prctl(PR_SET_DUMPABLE, 0) != 0)
            refuse(R_SETUP, "cannot act as the user", errno);
    }
    errno = call.error;
    return call.result;
}
