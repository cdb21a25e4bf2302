#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "state.h"

/* Records that are sent with one call, each in a datagram of its own: of several in one, the journald of systemd 257
 * keeps the first and drops the others.  A record of more bytes than DATAGRAM goes as a file in memory.  Milliseconds
 * until the next try, where the receiver is busy and nothing has said that it has room again, and where there is none.
 * What rsyslogd(8) takes, more than others. */
enum { RECORDS = 128, DATAGRAM = 96 << 10, BUSY = 100, AWAY = 200, LINE_MOST = 8096 };

static int sink = -1, waiting = -1;
static struct epoll_event has_room = { .events = EPOLLOUT | EPOLLET };
static bool is_journal;
static int64_t try_again;

void sink_wakes(int epoll, uint64_t event)
{
    waiting = epoll;
    has_room.data.u64 = event;
}

static bool connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    sink = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sink >= 0 && connect(sink, (const struct sockaddr *)&address, sizeof address) == 0 &&
        epoll_ctl(waiting, EPOLL_CTL_ADD, sink, &has_room) == 0)
        return true;
    close(sink);
    sink = -1;
    return false;
}

static bool find(void)
{
    if (sink < 0)
        is_journal = connect_to("/run/systemd/journal/socket");
    return sink >= 0 || connect_to("/dev/log");
}

/* Returns the milliseconds. */
static int wait_from(int64_t now, int milliseconds)
{
    try_again = now + milliseconds * INT64_C(1000000);
    return milliseconds;
}

static bool send_one(const char *text, size_t length, int fd)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
    struct iovec part = { (void *)(uintptr_t)text, length };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control.room;
        memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    }
    return sendmsg(sink, &message, MSG_NOSIGNAL) >= 0;
}

/* One record that no datagram holds, as sd_journal_sendv(3) does it. */
static bool send_file(const struct waiting *record)
{
    int fd = memfd_create("record", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool good = fd >= 0 && write(fd, record->record, record->length) == (ssize_t)record->length &&
                fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0 &&
                send_one("", 0, fd);
    int error = errno;
    close(fd);
    errno = error;
    return good;
}

/* Returns how many records were sent, 0 with errno. */
static size_t send_to_journal(void)
{
    static struct mmsghdr messages[RECORDS];
    static struct iovec parts[RECORDS];
    size_t at = 0;
    unsigned count = 0;
    const struct waiting *record;
    while (count < RECORDS && (record = queue_look(&at))) {
        if (record->length > DATAGRAM && count == 0)
            return send_file(record) ? 1 : 0;
        if (record->length > DATAGRAM)
            break;
        parts[count] = (struct iovec){ (void *)(uintptr_t)record->record, record->length };
        messages[count].msg_hdr = (struct msghdr){ .msg_iov = &parts[count], .msg_iovlen = 1 };
        count++;
    }
    /* Not the C library's, which makes a call for each. */
    long sent = syscall(SYS_sendmmsg, sink, messages, count, MSG_NOSIGNAL);
    return sent > 0 ? (size_t)sent : 0;
}

static size_t send_line(void)
{
    char line[LINE_MOST], now[32];
    size_t at = 0;
    const struct waiting *record = queue_look(&at);
    time_t seconds = time(NULL);
    struct tm local;
    strftime(now, sizeof now, "%b %e %H:%M:%S", localtime_r(&seconds, &local));
    return send_one(line, record_as_line(record->record, record->length, now, line, sizeof line), -1) ? 1 : 0;
}

/* What nobody will ever take must not keep the others. */
static void give_up_first(void)
{
    size_t at = 0;
    state_accounts()[queue_look(&at)->account].dropped[TOO_LONG]++;
    queue_drop(1);
}

void sink_has_room(void)
{
    try_again = 0;
}

int sink_flush(int64_t now)
{
    while (!queue_is_empty()) {
        if (now < try_again)
            return (int)((try_again - now + 999999) / 1000000);
        if (!find())
            return wait_from(now, AWAY);
        size_t sent = is_journal ? send_to_journal() : send_line();
        if (sent > 0) {
            queue_drop(sent);
            continue;
        }
        if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR || errno == ENOMEM || errno == ENFILE)
            return wait_from(now, BUSY);
        if (errno == EMSGSIZE)
            give_up_first();
        close(sink);
        sink = -1;
    }
    return -1;
}
