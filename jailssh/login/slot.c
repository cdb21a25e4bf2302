/* Places for sessions.  A place is a lock on one byte of a root-owned file, held by an open file description
 * (fcntl(2), F_OFD_SETLK): however a session ends, the kernel gives its place back, and nothing is left to clean up. */
#include "slot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "pin.h"

static int held[2] = { -1, -1 };

static int open_places(const char *name)
{
    int dir = pin_open_directory("sessions");
    int file = dir < 0 ? -1 : openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    close(dir);
    return file;
}

/* Lock the first free one of as many bytes as BOUND says, and hold it. */
static void take(int *place, const char *name, char *const *bound, enum reason reason, const char *whose)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    char detail[80];
    if (!bound)
        return;
    off_t most = (off_t)plan_number(bound[0], 10);
    *place = open_places(name);
    for (; *place >= 0 && lock.l_start < most; lock.l_start++) {
        if (fcntl(*place, F_OFD_SETLK, &lock) == 0)
            return;
        if (errno != EAGAIN && errno != EACCES)
            break;
    }
    if (*place < 0 || lock.l_start < most)
        refuse(R_SETUP, "cannot count the sessions", errno);
    snprintf(detail, sizeof detail, "session limit reached (%jd for this %s)", (intmax_t)most, whose);
    deny(reason, detail);
}

void slot_take(const struct plan *plan, const char *key)
{
    char account[16], account_and_key[256];
    snprintf(account, sizeof account, "%u", plan->uid);
    snprintf(account_and_key, sizeof account_and_key, "%u.%s", plan->uid, key);
    /* The key's first, so that logins beyond its own bound never hold a place of the others. */
    take(&held[0], account_and_key, plan_first(plan, OP_KEY_SESSIONS), R_SESSIONS_OF_KEY, "key");
    take(&held[1], account, plan_first(plan, OP_SESSIONS), R_SESSIONS, "account");
}

void slot_leave(void)
{
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (held[i] >= 0)
            close(held[i]);
}
