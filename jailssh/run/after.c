#include "after.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail.h"
#include "fd.h"
#include "groups.h"

enum { NAME = 256, MOST = 1024 }; /* MOST: descriptors, the limit that creds_sanitise sets */

struct place {
    int directory;
    const char *file;
    char draft[NAME];
    char text[24];
};

static void open_place(const struct plan *plan, pid_t pid, struct place *at)
{
    const char *path = plan_first(plan, OP_PID_FILE)[0];
    snprintf(at->text, sizeof at->text, "%d\n", pid);
    at->directory = fd_walk_parent(AT_FDCWD, path, &at->file, FD_ANY);
    int n = snprintf(at->draft, sizeof at->draft, ".%s.%d", at->file, pid);
    if (at->directory < 0 || n >= NAME)
        refuse(R_SETUP, path, at->directory < 0 ? errno : ENAMETOOLONG);
}

/* The file is ours as long as it says so: another command may have put its own in its place. */
static bool is_ours(const struct place *at)
{
    char text[sizeof at->text] = "";
    int fd = fd_walk(at->directory, at->file, O_RDONLY | O_NONBLOCK | O_NOCTTY, FD_ANY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 && strcmp(text, at->text) == 0;
}

static void take_away(const struct plan *plan, const struct place *at, int pidfd)
{
    struct pollfd end = { .fd = pidfd, .events = POLLIN };
    while (poll(&end, 1, -1) != 1)
        continue;
    if (at->directory >= 0) {
        unlinkat(at->directory, at->draft, 0);
        if (is_ours(at))
            unlinkat(at->directory, at->file, 0);
    }
    groups_remove(plan, true);
}

pid_t after_begin(const struct plan *plan, pid_t pid, int pidfd)
{
    struct place at = { .directory = -1 };
    bool file = plan_first(plan, OP_PID_FILE);
    if (!file && !plan_first(plan, OP_CONTROL_GROUP))
        return 0;
    if (file)
        open_place(plan, pid, &at);
    pid_t helper = fork();
    /* All signals are blocked.  No stream of the caller's is held, and none of the ends by which the first process
     * knows that we have gone. */
    if (helper == 0) {
        for (int fd = 0; fd < MOST; fd++)
            if (fd != at.directory && fd != pidfd)
                close(fd);
        if (setsid() >= 0)
            take_away(plan, &at, pidfd);
        _exit(0);
    }
    if (helper < 0)
        refuse(R_SETUP, "cannot start a process", errno);
    if (!file)
        return helper;
    if (!fd_write_new(at.directory, at.draft, at.text) || renameat(at.directory, at.draft, at.directory, at.file) != 0)
        refuse(R_SETUP, plan_first(plan, OP_PID_FILE)[0], errno);
    close(at.directory);
    return helper;
}

void after_end(pid_t helper)
{
    if (helper > 0)
        waitpid(helper, NULL, 0);
}
