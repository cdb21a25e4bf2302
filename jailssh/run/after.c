#include "after.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail.h"
#include "fd.h"

enum { NAME = 256, MOST = 1024 }; /* MOST: descriptors, the limit that creds_sanitise() sets */

struct place {
    int directory;
    const char *file;
    char draft[NAME];
    char text[24];
};

static void open_place(const struct plan *plan, struct place *at)
{
    const char *path = plan_first(plan, OP_PID_FILE)[0];
    at->directory = fd_walk_parent(AT_FDCWD, path, &at->file, FD_ANY);
    int n = snprintf(at->draft, sizeof at->draft, ".%s.%d", at->file, getpid());
    if (at->directory < 0 || n >= NAME)
        refuse(R_SETUP, path, at->directory < 0 ? errno : ENAMETOOLONG);
}

static void name_in(struct place *at, pid_t pid)
{
    snprintf(at->text, sizeof at->text, "%d\n", pid);
}

static bool write_place(const struct place *at)
{
    return fd_write_new(at->directory, at->draft, at->text) &&
           renameat(at->directory, at->draft, at->directory, at->file) == 0;
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

static void take_away(const struct place *at, int pidfd)
{
    struct pollfd end = { .fd = pidfd, .events = POLLIN };
    while (poll(&end, 1, -1) != 1)
        continue;
    unlinkat(at->directory, at->draft, 0);
    if (is_ours(at))
        unlinkat(at->directory, at->file, 0);
}

/* The number of the daemon, once its program runs; 0 where it does not.  It says so itself, the kernel adds who it is,
 * and the end of what it says is the start of the program. */
static pid_t receive(int report)
{
    union {
        char space[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    char word;
    struct ucred who;
    struct iovec part = { &word, 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space
    };
    if (recvmsg(report, &message, MSG_CMSG_CLOEXEC) != 1)
        return 0;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_CREDENTIALS)
        return 0;
    memcpy(&who, CMSG_DATA(head), sizeof who);
    return recv(report, &word, 1, 0) == 0 ? who.pid : 0;
}

/* Where the daemon has put itself into the background, the file has who passes signals on to what is left of it. */
static void follow(struct place *at, int pidfd, pid_t daemon, pid_t first)
{
    enum { A_MOMENT = 300 }; /* milliseconds until the end of both would have come */
    int fd = daemon > 0 ? (int)syscall(SYS_pidfd_open, daemon, 0) : -1;
    struct pollfd ends[] = { { .fd = fd, .events = POLLIN }, { .fd = pidfd, .events = POLLIN } };
    if (daemon <= 0)
        return;
    while (fd >= 0 && poll(ends, 2, -1) < 1)
        continue;
    if (poll(ends + 1, 1, A_MOMENT) == 0) {
        name_in(at, first);
        write_place(at);
    }
    close(fd);
}

/* All signals are blocked.  No stream of the caller's is held, and none of the ends by which the first process knows
 * that we have gone. */
static noreturn void help(struct place *at, pid_t first, int pidfd, int report, int started)
{
    for (int fd = 0; fd < MOST; fd++)
        if (fd != 2 && fd != at->directory && fd != pidfd && fd != report && fd != started)
            close(fd);
    pid_t daemon = report < 0 ? 0 : receive(report);
    if (report >= 0 && !daemon)
        _exit(0);
    if (report >= 0)
        name_in(at, daemon);
    if (report >= 0 && at->file && !write_place(at)) {
        fail_say("jailssh: launch: %s: %s\n", at->file, strerror(errno));
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        unlinkat(at->directory, at->draft, 0);
        _exit(0);
    }
    if (started >= 0)
        (void)!write(started, "", 1);
    close(started);
    close(report);
    close(2);
    if (at->file && setsid() >= 0) {
        follow(at, pidfd, daemon, first);
        take_away(at, pidfd);
    }
    _exit(0);
}

pid_t after_begin(const struct plan *plan, pid_t pid, int pidfd, int report, int started)
{
    struct place at = { .directory = -1 };
    bool wanted = plan_first(plan, OP_PID_FILE);
    if (!wanted && started < 0)
        return 0;
    if (wanted)
        open_place(plan, &at);
    name_in(&at, pid);
    pid_t helper = fork();
    if (helper == 0)
        help(&at, pid, pidfd, report, started);
    if (helper < 0)
        refuse(R_SETUP, "cannot start a process", errno);
    if (report < 0 && wanted && !write_place(&at))
        refuse(R_SETUP, plan_first(plan, OP_PID_FILE)[0], errno);
    close(at.directory);
    return helper;
}

void after_end(pid_t helper, int pidfd)
{
    struct pollfd end = { .fd = pidfd, .events = POLLIN };
    if (helper > 0 && poll(&end, 1, 0) == 1)
        waitpid(helper, NULL, 0);
}
