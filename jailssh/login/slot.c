/* Places for sessions.  A place is a lock on one byte of a root-owned file, held by an open file description
 * (fcntl(2), F_OFD_SETLK): however a session ends, the kernel gives its place back, and nothing is left to clean up. */
#include "slot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "fd.h"
#include "mount.h"

static int held[2] = { -1, -1 };

static int open_places(const char *name)
{
    int run = pin_open_run_directory();
    if (run < 0 || (mkdirat(run, "sessions", 0700) != 0 && errno != EEXIST))
        return -1;
    int dir = fd_walk(run, "sessions", O_PATH | O_DIRECTORY, FD_ROOT_ONLY);
    int file = dir < 0 ? -1 : openat(dir, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    close(dir);
    close(run);
    return file;
}

/* Lock the first free of MOST bytes.  Returns the descriptor that holds the lock, or -1 where none is free. */
static int take_place(const char *name, unsigned long most)
{
    int file = open_places(name);
    for (unsigned long place = 0; file >= 0 && place < most; place++) {
        struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = (off_t)place, .l_len = 1 };
        if (fcntl(file, F_OFD_SETLK, &lock) == 0)
            return file;
        if (errno != EAGAIN && errno != EACCES)
            refuse("setup", "cannot count the sessions", errno);
    }
    if (file < 0)
        refuse("setup", "cannot count the sessions", errno);
    close(file);
    return -1;
}

static void take(int *place, const char *name, char *const *bound, const char *whose, const char *reason)
{
    char detail[80];
    unsigned long most = bound ? plan_number(bound[0], 10) : 0;
    if (!bound || (*place = take_place(name, most)) >= 0)
        return;
    snprintf(detail, sizeof detail, "this %s has %lu session%s already", whose, most, most == 1 ? "" : "s");
    deny(reason, detail);
}

void slot_take(const struct plan *plan, const char *key)
{
    char account[16], account_and_key[256];
    snprintf(account, sizeof account, "%u", plan->uid);
    snprintf(account_and_key, sizeof account_and_key, "%u.%s", plan->uid, key);
    take(&held[0], account, plan_first(plan, OP_SESSIONS), "account", "sessions");
    take(&held[1], account_and_key, plan_first(plan, OP_KEY_SESSIONS), "key", "sessions-of-key");
}

void slot_leave(void)
{
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (held[i] >= 0)
            close(held[i]);
}
