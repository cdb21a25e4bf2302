#include "take.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "session.h"

/* Messages at once; bytes of one, more than a sender can have in a datagram by itself (wmem_max in socket(7)); the
 * most descriptors of one (unix(7)); bytes that the smallest message counts as; seconds between two reports. */
enum { BATCH = 32, ROOM = 256 << 10, FDS_MOST = 253, LEAST = 64 };
#define REPORTS INT64_C(10000000000)

static char *rooms;
static char *whole;
static struct mmsghdr messages[BATCH];
static struct iovec parts[BATCH];
static union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(FDS_MOST * sizeof(int))];
} controls[BATCH];

struct sent {
    struct ucred by;
    int file; /* the first of the descriptors, which is to be closed; -1 for none */
};

bool take_prepare(void)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    rooms = mmap(NULL, (size_t)BATCH * ROOM, PROT_READ | PROT_WRITE, flags, -1, 0);
    whole = mmap(NULL, MESSAGE_MOST + 1, PROT_READ | PROT_WRITE, flags, -1, 0);
    return rooms != MAP_FAILED && whole != MAP_FAILED;
}

/* A socket that lingers could hold up whoever closes it last. */
static void close_foreign(int fd)
{
    static const struct linger none = { .l_onoff = 1, .l_linger = 0 };
    (void)!setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(fd);
}

/* The macro of musl's header, which the compiler would complain of at each use. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
static struct cmsghdr *after(struct msghdr *message, struct cmsghdr *head)
{
    return CMSG_NXTHDR(message, head);
}
#pragma GCC diagnostic pop

static struct sent look(struct msghdr *message)
{
    struct sent sent = { .by = { .uid = (uid_t)-1 }, .file = -1 };
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = after(message, head)) {
        if (head->cmsg_level != SOL_SOCKET)
            continue;
        if (head->cmsg_type == SCM_CREDENTIALS && head->cmsg_len == CMSG_LEN(sizeof sent.by))
            memcpy(&sent.by, CMSG_DATA(head), sizeof sent.by);
        size_t count = head->cmsg_type == SCM_RIGHTS ? (head->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
            if (sent.file < 0)
                sent.file = fd;
            else
                close_foreign(fd);
        }
    }
    return sent;
}

/* A message that no datagram holds comes as a file in memory, which is read only if nobody can change it any more
 * (memfd_create(2)); anything else could block us or lead elsewhere.  Returns its bytes, or -1. */
static ssize_t size_of_file(int fd)
{
    int sealed = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL, seals = fcntl(fd, F_GET_SEALS);
    struct stat info;
    if (seals < 0 || (seals & sealed) != sealed || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return -1;
    return info.st_size;
}

static bool read_file(int fd, ssize_t size)
{
    for (ssize_t at = 0; at < size;) {
        ssize_t n = pread(fd, whole + at, (size_t)(size - at), at);
        if (n <= 0)
            return false;
        at += n;
    }
    whole[size] = '\0';
    return true;
}

/* What is sent beyond the account's rate is taken and dropped: nobody waits. */
static bool may_send(struct account *of, size_t bytes, int64_t now)
{
    double grown = (double)of->base * (double)(now - of->when) / 1e6 / (double)of->interval;
    double cost = bytes > LEAST ? (double)bytes : LEAST;
    of->tokens = of->tokens + grown < (double)of->peak ? of->tokens + grown : (double)of->peak;
    of->when = now;
    if (of->tokens < cost)
        return false;
    of->tokens -= cost;
    return true;
}

static bool keep(void *with, const char *record, size_t length)
{
    return queue_put(with, record, length);
}

/* Why a message of LENGTH bytes is not taken, DROPS if it is; nothing of it has been read by then. */
static enum drop judge(struct account *of, uid_t by, ssize_t length, int64_t now)
{
    if (by != of->uid)
        return NOT_ITS_OWN;
    if (length < 0)
        return UNREADABLE;
    if (length > MESSAGE_MOST)
        return TOO_LONG;
    return may_send(of, (size_t)length, now) ? DROPS : OVER_RATE;
}

static void take_one(struct account *of, char *text, struct msghdr *head, ssize_t length, int64_t now)
{
    static const enum drop reasons[] = { DROPS, UNREADABLE, TOO_LONG, QUEUE_FULL };
    struct sent sent = look(head);
    bool is_file = length == 0 && sent.file >= 0;
    if (head->msg_flags & MSG_TRUNC)
        length = MESSAGE_MOST + 1;
    else if (is_file)
        length = size_of_file(sent.file);
    enum drop why = judge(of, sent.by.uid, length, now);
    if (why == DROPS && is_file && !read_file(sent.file, length))
        why = UNREADABLE;
    if (sent.file >= 0)
        close_foreign(sent.file);
    if (why == DROPS) {
        struct origin from = { of->user, of->fields, sent.by.pid, session_of(sent.by.pid, of->uid, now) };
        why = reasons[record_make(&from, is_file ? whole : text, (size_t)length, keep, of)];
    }
    if (why != DROPS)
        of->dropped[why]++;
}

void take_from(struct account *of, int fd, int64_t now)
{
    for (size_t i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){ rooms + i * ROOM, ROOM - 1 };
        messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i],
                                               .msg_iovlen = 1,
                                               .msg_control = &controls[i],
                                               .msg_controllen = sizeof controls[i].room };
    }
    int count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
    for (int i = 0; i < count; i++) {
        char *text = rooms + (size_t)i * ROOM;
        text[messages[i].msg_len] = '\0';
        take_one(of, text, &messages[i].msg_hdr, messages[i].msg_len, now);
    }
}

bool take_report(struct account *of, int64_t now)
{
    static const char *const words[] = { "sent beyond its rate", "too large", "not readable", "from another account",
                                         "no room while the journal took nothing" };
    char how[320] = "";
    uint64_t count = 0;
    for (size_t i = 0, n = 0; i < DROPS; i++) {
        if (of->dropped[i] == 0)
            continue;
        n += (size_t)snprintf(how + n, sizeof how - n, "%s%llu %s", n ? ", " : "", (unsigned long long)of->dropped[i],
                              words[i]);
        count += of->dropped[i];
    }
    if (count == 0 || (of->told && now - of->told < REPORTS))
        return count > 0;
    struct origin from = { of->user, of->fields, 0, "" };
    size_t before = of->queued;
    record_of_drops(&from, how, count, keep, of);
    if (of->queued == before)
        return true; /* the queue is full: later */
    memset(of->dropped, 0, sizeof of->dropped);
    of->told = now;
    return false;
}
