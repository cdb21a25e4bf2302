#include "notify.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "fail.h"
#include "passed.h"

enum { LONGEST = 4096, MOST = 8 }; /* bytes of a message; descriptors that come with one */

void notify_connect(const struct plan *plan)
{
    char *const *path = plan_first(plan, OP_NOTIFY);
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    if (!path)
        return;
    size_t n = strlen(path[0]);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (n >= sizeof to.sun_path || n == 0)
        refuse(R_SETUP, path[0], ENAMETOOLONG);
    memcpy(to.sun_path, path[0], n);
    if (to.sun_path[0] == '@')
        to.sun_path[0] = '\0';
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) != 0)
        refuse(R_SETUP, path[0], errno);
    passed_set(PASSED_TO, fd);
}

void notify_listen(const struct plan *plan, int dev)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    if (!plan_first(plan, OP_NOTIFY))
        return;
    snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/%s", dev, NOTIFY_NAME);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || chmod(at.sun_path, 0666) != 0)
        refuse(R_SETUP, "/dev/" NOTIFY_NAME, errno);
    passed_set(PASSED_FROM, fd);
}

/* What says how the daemon is.  Not which process it is, whose number means another one outside, nor descriptors. */
static bool is_passed_on(const char *line)
{
    static const char *const names[] = { "READY=",          "RELOADING=",  "STOPPING=", "STATUS=",
                                         "ERRNO=",          "BUSERROR=",   "WATCHDOG=", "EXTEND_TIMEOUT_USEC=",
                                         "MONOTONIC_USEC=", "EXIT_STATUS=" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strncmp(line, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

/* Returns how much of TEXT, which ends in two NULs, is left in it. */
static size_t sift(char *text)
{
    size_t left = 0;
    for (char *line = text, *next; *line; line = next) {
        size_t n = strcspn(line, "\n");
        next = line + n + (line[n] == '\n');
        if (!is_passed_on(line))
            continue;
        memmove(text + left, line, n);
        left += n;
        text[left++] = '\n'; /* at most where this line ended, which is read */
    }
    return left;
}

/* Close what came with a message: who waits for that knows then that all before it has been passed on. */
static void close_all(struct msghdr *message)
{
    struct cmsghdr *head = CMSG_FIRSTHDR(message);
    if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
        return;
    for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= head->cmsg_len; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
        close(fd);
    }
}

static void pass_on(int from, int to)
{
    static char text[LONGEST + 2];
    union {
        char space[CMSG_SPACE(MOST * sizeof(int))];
        struct cmsghdr align;
    } control;
    for (;;) {
        struct iovec part = { text, LONGEST };
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space
        };
        ssize_t n = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
        if (n < 0 && errno != EINTR)
            _exit(0);
        memset(text + (n > 0 ? n : 0), '\0', 2); /* a line without its newline gets one */
        size_t left = sift(text);
        if (left > 0)
            (void)!send(to, text, left, MSG_NOSIGNAL);
        if (n >= 0)
            close_all(&message);
    }
}

pid_t notify_start(const struct plan *plan)
{
    int from = passed_get(PASSED_FROM), to = passed_get(PASSED_TO);
    if (!plan_first(plan, OP_NOTIFY))
        return 0;
    if (from < 0)
        refuse(R_SETUP, "tree has no directory /dev, by which the daemon could tell that it is ready", 0);
    pid_t pid = fork(); /* not dumpable: the daemon cannot look into it */
    if (pid < 0)
        refuse(R_SETUP, "cannot start a process", errno);
    if (pid == 0) {
        for (int fd = 0; fd < from; fd++)
            close(fd);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
            pass_on(from, to);
        _exit(0);
    }
    close(from);
    close(to);
    return pid;
}
