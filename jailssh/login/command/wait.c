#include "wait.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"

/* The outer half keeps the time.  Where an unjailed process of the account has stopped it, it is kept here: begun
 * later, so that the outer half, which tells the user, comes first. */
enum { LATER = 3, GRACE = 2, KEEPER = 1 };
static time_t deadline; /* on the monotonic clock; 0 for none */
static bool told;
static bool lingers; /* the jail outlives its logins */

static time_t seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

void wait_begin(const struct plan *plan)
{
    char *const *duration = plan_first(plan, OP_DURATION);
    deadline = duration ? seconds_now() + (time_t)plan_number(duration[0], 10) + LATER : 0;
    lingers = plan_first(plan, OP_LINGER) || plan_first(plan, OP_JOIN);
    if (lingers) /* the outer half's end is for us to tell, as soon as there is whom */
        prctl(PR_SET_PDEATHSIG, SIGHUP);
}

/* In a jail that lingers our end is not that of everything.  Whose parent is the keeper has lost us already. */
bool wait_is_awaited(void)
{
    return !lingers || (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() != KEEPER);
}

/* In a jail that lingers what is in the foreground with it is told too; nobody else would end that. */
static void pass_on(pid_t child, int number)
{
    kill(lingers && number == SIGHUP ? -child : child, number);
}

static void hang_up(pid_t child)
{
    told = true;
    deadline = seconds_now() + GRACE;
    pass_on(child, SIGHUP);
}

static int next_signal(pid_t child)
{
    sigset_t all;
    sigfillset(&all);
    if (!deadline)
        return sigwaitinfo(&all, NULL);
    time_t now = seconds_now();
    if (now >= deadline && told)
        _exit(128 + SIGKILL); /* and with it everything in the jail, or the child */
    if (now >= deadline)
        hang_up(child);
    return sigtimedwait(&all, NULL, &(struct timespec){ .tv_sec = deadline - now });
}

int wait_for(pid_t child)
{
    for (;;) {
        int status, number;
        for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
            if (pid == child)
                return status;
        number = next_signal(child);
        if (number == SIGHUP && lingers && !told && channel_is_cut())
            hang_up(child);
        else if (number > 0 && number != SIGCHLD)
            pass_on(child, number);
    }
}
