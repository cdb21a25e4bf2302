#include "daemon.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fail.h"

enum { PATIENCE_MS = 400, WAIT_MS = 90000, ANSWER_MAX = 256 };

/* The daemon knows the user by SO_PEERCRED, which tells the effective uid at connect(2): be the user for it. */
static int connect_as(uid_t uid)
{
    static const struct sockaddr_un address = { AF_UNIX, RUN_DIR "/jailsshd.sock" };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || seteuid(uid) != 0)
        return -1;
    int failed = connect(fd, (const struct sockaddr *)&address, sizeof address), error = errno;
    if (seteuid(0) != 0)
        return -1;
    errno = error;
    return failed ? -1 : fd;
}

bool daemon_ask(uid_t uid, char *why, size_t size)
{
    char answer[ANSWER_MAX];
    size_t got = 0;
    int fd = connect_as(uid);
    if (fd < 0) {
        snprintf(why, size, "no plan, and jailsshd does not answer: %s", strerror(errno));
        return false;
    }
    for (int waited = 0; got < sizeof answer - 1;) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        int step = waited ? WAIT_MS - PATIENCE_MS : PATIENCE_MS;
        int n = poll(&ready, 1, step);
        if (n == 0 && !waited++) {
            fail_say("jailssh: preparing this account's jail, one moment please\n");
            continue;
        }
        ssize_t bytes = n > 0 ? read(fd, answer + got, sizeof answer - 1 - got) : -1;
        if (bytes <= 0)
            break;
        got += (size_t)bytes;
    }
    close(fd);
    answer[got] = '\0';
    answer[strcspn(answer, "\n")] = '\0';
    if (strcmp(answer, "ok") == 0)
        return true;
    snprintf(why, size, "no plan, and jailsshd says: %s", got ? answer : "nothing in time");
    return false;
}
