#include "daemon.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"

/* Milliseconds: until the user is told, until the login gives up, until a busy daemon is asked again. */
enum { PATIENCE_MS = 400, WAIT_MS = 90000, AGAIN_MS = 250, ANSWER_MAX = 256 };

struct waiting {
    long long begun;
    bool told;
};

static long long clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* How long to wait for now, 0 when the time is over.  Tells the user when it begins to take long. */
static int step(struct waiting *waiting)
{
    long long waited = clock_ms() - waiting->begun;
    if (!waiting->told && waited < PATIENCE_MS)
        return (int)(PATIENCE_MS - waited);
    if (!waiting->told)
        fail_say("jailssh: preparing the session (up to 90 s) ...\n");
    waiting->told = true;
    return waited < WAIT_MS ? (int)(WAIT_MS - waited) : 0;
}

/* The daemon knows the user by SO_PEERCRED, which tells the effective uid at connect(2): be the user for it.  A full
 * queue makes connect(2) wait, for as long as it takes to send (socket(7), SO_SNDTIMEO). */
static int connect_as(uid_t uid, int ms)
{
    static const struct sockaddr_un address = { AF_UNIX, RUN_DIR "/jailsshd.sock" };
    struct timeval most = { ms / 1000, ms % 1000 * 1000 };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) != 0 || seteuid(uid) != 0)
        return -1;
    int failed = connect(fd, (const struct sockaddr *)&address, sizeof address), error = errno;
    if (seteuid(0) != 0 || prctl(PR_SET_DUMPABLE, 0) != 0)
        return -1;
    if (failed)
        close(fd);
    errno = error;
    return failed ? -1 : fd;
}

/* The line that the daemon says, "" for none in time. */
static void hear(int fd, char *answer, struct waiting *waiting)
{
    size_t got = 0;
    for (int ms; got < ANSWER_MAX - 1 && (ms = step(waiting)) > 0;) {
        struct pollfd ready = { .fd = fd, .events = POLLIN };
        int n = poll(&ready, 1, ms);
        if (n == 0)
            continue;
        ssize_t bytes = n > 0 ? read(fd, answer + got, ANSWER_MAX - 1 - got) : -1;
        if (bytes <= 0)
            break;
        got += (size_t)bytes;
    }
    close(fd);
    answer[got] = '\0';
    answer[strcspn(answer, "\n")] = '\0';
}

bool daemon_ask(uid_t uid, char *why, size_t size)
{
    struct waiting waiting = { clock_ms(), false };
    char answer[ANSWER_MAX] = "";
    for (int ms; (ms = step(&waiting)) > 0;) {
        int fd = connect_as(uid, ms);
        if (fd < 0 && errno == EAGAIN)
            continue;
        if (fd < 0) {
            snprintf(why, size, "no plan; jailsshd does not answer: %s", strerror(errno));
            return false;
        }
        hear(fd, answer, &waiting);
        if (strcmp(answer, "no busy") != 0)
            break;
        poll(NULL, 0, AGAIN_MS); /* it is full, or starts anew */
    }
    if (strcmp(answer, "ok") == 0)
        return true;
    snprintf(why, size, "no plan; jailsshd reports: %s", *answer ? answer : "no answer in time");
    return false;
}
