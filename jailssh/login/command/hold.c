/* A keeper, the first process of its pid namespace: nothing but its life holds the jail.  Everybody in there can signal
 * it, and the kernel drops that, since it has no handlers (pid_namespaces(7)). */
#include "hold.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "channel.h"

enum { ALONE = 10, LOOK = 5 }; /* seconds */

void hold_jail(const struct plan *plan, int channel)
{
    char *const *expires = plan_first(plan, OP_EXPIRES);
    sigset_t none;
    signal(SIGCHLD, SIG_IGN); /* who has ended waits for nobody */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    channel_say(SAYS_ALLOWED, "", "", "");
    while (channel >= 0)
        close(channel--);
    for (int alone = 0; alone < ALONE; alone = kill(-1, 0) == 0 ? 0 : alone + 1) {
        if (expires && time(NULL) >= (time_t)plan_number(expires[0], 10))
            break;
        sleep(alone > 0 ? 1 : LOOK);
    }
    _exit(0); /* and with it everything in the jail */
}
