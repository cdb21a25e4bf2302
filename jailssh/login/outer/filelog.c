/* Each message of sftp-server is one write(2) and ends in a newline, also where the name of a file has newlines in it:
 * it escapes all other control characters, but not these.  So what counts is where a write ends, not where a line
 * does. */
#include "filelog.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "journal.h"

static const long long MOMENT = 100000000; /* what is done in it becomes one record */
static const long long REST = 10000000;    /* between two looks at what has been written */
/* Records a second, and how many may come at once: journald keeps 10,000 within 30 seconds of all sessions together. */
static const long long PACE = 1000000000 / 20, BURST = 60;
enum { AT_ONCE = 300 }; /* packets, which is about what the socket holds */

static bool must_send(const struct filelog *log, long long now)
{
    return log->gathered.count > 0 && (log->whole || log->from < 0 || now >= log->due);
}

static bool may_send(const struct filelog *log, long long now)
{
    return log->hurry || now >= log->paced;
}

struct pollfd filelog_wants(const struct filelog *log, long long now)
{
    if (must_send(log, now) && may_send(log, now))
        return (struct pollfd){ .fd = journal_descriptor(), .events = POLLOUT };
    return (struct pollfd){ .fd = log->whole || now < log->rest ? -1 : log->from, .events = POLLIN };
}

long long filelog_next(const struct filelog *log, long long now)
{
    long long next = now < log->rest && log->from >= 0 && !log->whole ? log->rest : 0, send = log->due;
    if (log->gathered.count == 0)
        return next;
    if (must_send(log, now) && may_send(log, now))
        return journal_descriptor() >= 0 ? next : now;
    if (must_send(log, now) || (!log->hurry && send < log->paced))
        send = log->paced;
    return next && next < send ? next : send;
}

bool filelog_busy(const struct filelog *log)
{
    return log->from >= 0 || log->whole || log->gathered.count > 0;
}

/* Put the line, if it is whole, with the others.  False: there is no room. */
static bool gather(struct filelog *log, long long now)
{
    bool first = log->gathered.count == 0;
    if (log->whole && log->have > 0 && !gather_add(&log->gathered, log->line, log->have))
        return false;
    if (first)
        log->due = now + MOMENT;
    log->have = log->whole ? 0 : log->have;
    log->whole = false;
    return true;
}

/* Add a packet to the line.  It is whole where a packet ends in a newline, and at the end.  False without one. */
static bool take_packet(struct filelog *log)
{
    char packet[LINE_MAX_KEPT];
    ssize_t n = recv(log->from, packet, sizeof packet, MSG_TRUNC | MSG_DONTWAIT);
    bool cut = n > (ssize_t)sizeof packet;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        close(log->from);
        log->from = -1;
    }
    n = cut ? (ssize_t)sizeof packet : n;
    for (ssize_t i = 0; i < n && log->have < LINE_MAX_KEPT; i++)
        log->line[log->have++] = packet[i] ? packet[i] : '?';
    log->whole = n <= 0 ? log->have > 0 : cut || packet[n - 1] == '\n';
    while (log->whole && log->have > 0 && log->have < LINE_MAX_KEPT && strchr("\r\n", log->line[log->have - 1]))
        log->have--;
    log->line[log->have] = '\0';
    return true;
}

/* Read all that is there, or as much as has room.  False: there was nothing. */
static bool take_packets(struct filelog *log, long long now)
{
    int packets = 0;
    while (log->from >= 0 && packets < AT_ONCE && gather(log, now) && take_packet(log))
        packets++;
    gather(log, now);
    if (packets > 0 && packets < AT_ONCE)
        log->rest = now + REST; /* what is written next can wait, and need not wake us up each time */
    return packets > 0;
}

static void empty(struct filelog *log)
{
    log->gathered.count = 0;
    log->gathered.used = log->gathered.cost = 0;
}

enum logged filelog_step(struct filelog *log, long long now)
{
    int sent = 1;
    if (must_send(log, now) && may_send(log, now)) {
        sent = gather_offer(&log->gathered, log->lost);
        if (sent == 0)
            return LOG_WAITS;
        if (sent > 0)
            log->paced = (log->paced > now - BURST * PACE ? log->paced : now - BURST * PACE) + PACE;
        log->lost += sent > 0 ? 0 : gather_said(&log->gathered);
        empty(log);
    }
    if (gather(log, now) && now >= log->rest)
        take_packets(log, now);
    return sent > 0 ? LOG_GOES : LOG_LOST;
}

void filelog_finish(struct filelog *log, long long now)
{
    log->hurry = true;
    while (log->from >= 0 && gather(log, now))
        if (!take_packets(log, now)) {
            close(log->from);
            log->from = -1;
            log->whole = log->have > 0;
            gather(log, now);
        }
}

void filelog_give_up(struct filelog *log)
{
    if (log->from >= 0)
        close(log->from);
    log->from = -1;
    log->lost += gather_said(&log->gathered) + log->whole;
    log->whole = false;
    empty(log);
}
