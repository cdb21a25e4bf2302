#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "state.h"

/* Records and bytes of one datagram, which the journal takes several of in one; a record beyond goes as a file in
 * memory. Milliseconds until the next try, where the receiver is busy and where there is none.  What syslog daemons
 * take. */
enum { RECORDS = 128, DATAGRAM = 96 << 10, BUSY = 5, AWAY = 200, LINE_MOST = 8192 };

static int sink = -1;
static bool is_journal;
static int64_t try_again;

static bool connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    sink = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sink >= 0 && connect(sink, (const struct sockaddr *)&address, sizeof address) == 0)
        return true;
    close(sink);
    sink = -1;
    return false;
}

static bool find(int64_t now)
{
    if (sink >= 0)
        return true;
    if (now < try_again)
        return false;
    try_again = now + AWAY * INT64_C(1000000);
    is_journal = connect_to("/run/systemd/journal/socket");
    return is_journal || connect_to("/dev/log");
}

static ssize_t send_parts(struct iovec *parts, size_t count, int fd)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
    struct msghdr message = { .msg_iov = parts };
    message.msg_iovlen = (__typeof__(message.msg_iovlen))count; /* musl counts in another type */
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control.room;
        memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    }
    return sendmsg(sink, &message, MSG_NOSIGNAL);
}

/* One record that no datagram holds, as sd_journal_sendv(3) does it. */
static bool send_file(const struct waiting *record)
{
    int fd = memfd_create("record", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool good = fd >= 0 && write(fd, record->record, record->length) == (ssize_t)record->length &&
                fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0 &&
                send_parts(NULL, 0, fd) >= 0;
    int error = errno;
    close(fd);
    errno = error;
    return good;
}

/* Returns how many records were sent, 0 with errno. */
static size_t send_to_journal(void)
{
    static char separator[] = "\n";
    struct iovec parts[2 * RECORDS];
    size_t at = 0, bytes = 0, count = 0;
    const struct waiting *record;
    while (count < RECORDS && (record = queue_look(&at))) {
        if (record->length > DATAGRAM && count == 0)
            return send_file(record) ? 1 : 0;
        if (bytes + record->length > DATAGRAM)
            break;
        parts[2 * count] = (struct iovec){ (void *)(uintptr_t)record->record, record->length };
        parts[2 * count + 1] = (struct iovec){ separator, 1 };
        bytes += record->length + 1;
        count++;
    }
    return send_parts(parts, 2 * count, -1) >= 0 ? count : 0;
}

static size_t send_line(void)
{
    char line[LINE_MOST], now[32];
    size_t at = 0;
    const struct waiting *record = queue_look(&at);
    time_t seconds = time(NULL);
    struct tm local;
    strftime(now, sizeof now, "%b %e %H:%M:%S", localtime_r(&seconds, &local));
    struct iovec part = { line, record_as_line(record->record, record->length, now, line, sizeof line) };
    return send_parts(&part, 1, -1) >= 0 ? 1 : 0;
}

/* What nobody will ever take must not keep the others. */
static void give_up_first(void)
{
    size_t at = 0;
    state_accounts()[queue_look(&at)->account].dropped[TOO_LONG]++;
    queue_drop(1);
}

int sink_flush(int64_t now)
{
    while (!queue_is_empty()) {
        if (!find(now))
            return AWAY;
        size_t sent = is_journal ? send_to_journal() : send_line();
        if (sent > 0) {
            queue_drop(sent);
            continue;
        }
        if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR || errno == ENOMEM || errno == ENFILE)
            return BUSY;
        if (errno == EMSGSIZE)
            give_up_first();
        close(sink);
        sink = -1;
    }
    return -1;
}
