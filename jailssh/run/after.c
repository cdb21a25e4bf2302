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

enum { NAME = 256, TRIES = 100, PAUSE = 10 }; /* milliseconds */

struct places {
    int group, group_parent, directory;
    const char *group_name, *file;
    char draft[NAME];
    char text[24];
};

static void open_places(const struct plan *plan, pid_t pid, struct places *at)
{
    char *const *group = plan_first(plan, OP_CGROUP), *const *file = plan_first(plan, OP_PID_FILE);
    at->group = at->group_parent = at->directory = -1;
    snprintf(at->text, sizeof at->text, "%d\n", pid);
    if (group) {
        at->group_parent = fd_walk_parent(AT_FDCWD, group[0], &at->group_name, FD_ANY);
        at->group = fd_walk(AT_FDCWD, group[0], O_RDONLY | O_DIRECTORY, FD_ANY);
        if (at->group < 0 || at->group_parent < 0)
            refuse(R_SETUP, group[0], errno);
    }
    if (file) {
        at->directory = fd_walk_parent(AT_FDCWD, file[0], &at->file, FD_ANY);
        int n = snprintf(at->draft, sizeof at->draft, ".%s.%d", at->file, pid);
        if (at->directory < 0 || n >= NAME)
            refuse(R_SETUP, file[0], at->directory < 0 ? errno : ENAMETOOLONG);
    }
}

static bool write_to(int dir, const char *name, const char *text)
{
    int fd = fd_walk(dir, name, O_WRONLY, FD_ANY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    int error = errno;
    close(fd);
    errno = error;
    return done;
}

/* The file is ours as long as it says so: another command may have put its own in its place. */
static bool is_ours(const struct places *at)
{
    char text[sizeof at->text] = "";
    int fd = fd_walk(at->directory, at->file, O_RDONLY | O_NONBLOCK | O_NOCTTY, FD_ANY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    close(fd);
    return n > 0 && strcmp(text, at->text) == 0;
}

/* The last process of a group leaves it some time after its end. */
static void take_group_away(const struct places *at)
{
    (void)write_to(at->group, "cgroup.kill", "1");
    for (int i = 0; i < TRIES && unlinkat(at->group_parent, at->group_name, AT_REMOVEDIR) != 0 && errno == EBUSY; i++)
        poll(NULL, 0, PAUSE);
}

static void take_away(const struct places *at, int pidfd)
{
    struct pollfd end = { .fd = pidfd, .events = POLLIN };
    while (poll(&end, 1, -1) != 1)
        continue;
    if (at->directory >= 0) {
        unlinkat(at->directory, at->draft, 0);
        if (is_ours(at))
            unlinkat(at->directory, at->file, 0);
    }
    if (at->group >= 0)
        take_group_away(at);
}

pid_t after_begin(const struct plan *plan, pid_t pid, int pidfd)
{
    struct places at;
    open_places(plan, pid, &at);
    if (at.group < 0 && at.directory < 0)
        return 0;
    pid_t helper = fork();
    if (helper == 0) { /* all signals are blocked; no stream of the caller's is held */
        for (int fd = 0; fd < 3; fd++)
            close(fd);
        if (setsid() >= 0)
            take_away(&at, pidfd);
        _exit(0);
    }
    if (helper < 0)
        refuse(R_SETUP, "cannot start a process", errno);
    if (at.group >= 0 && !write_to(at.group, "cgroup.procs", at.text))
        refuse(R_LIMITS, "cannot enter the control group", errno);
    if (at.directory >= 0 && (!fd_write_new(at.directory, at.draft, at.text) ||
                              renameat(at.directory, at.draft, at.directory, at.file) != 0))
        refuse(R_SETUP, plan_first(plan, OP_PID_FILE)[0], errno);
    close(at.group);
    close(at.group_parent);
    close(at.directory);
    return helper;
}

void after_end(pid_t helper)
{
    if (helper > 0)
        waitpid(helper, NULL, 0);
}
