#include "journal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "readable.h"

enum { VALUE_MAX = 4096 };
/* Seconds that a record may wait for a journald that takes nothing: a login must end. */
static const struct timeval patience = { .tv_sec = 5 };

static int journal = -1;
static char record[RECORD_MAX];
static char kept[2048];
static char who[512]; /* the account and the key, in front of messages for people */
static size_t used, kept_used;

bool journal_connect(void)
{
    static const struct sockaddr_un address = { AF_UNIX, "/run/systemd/journal/socket" };
    journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (journal >= 0 && setsockopt(journal, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        connect(journal, (const struct sockaddr *)&address, sizeof address) == 0)
        return true;
    close(journal);
    journal = -1;
    return false;
}

static size_t append(char *buffer, size_t size, size_t at, const char *field, const char *value)
{
    size_t start = at, limit = size - 8;
    at += (size_t)snprintf(buffer + at, size - at, "%s=", field);
    if (at >= limit)
        return start;
    size_t most = at + VALUE_MAX < limit ? at + VALUE_MAX : limit;
    const char *c = value;
    for (; *c && at < most; c++) {
        size_t n = readable(c);
        if (n == 0)
            at += (size_t)snprintf(buffer + at, 5, "\\x%02x", (unsigned char)*c);
        for (size_t rest = n; rest > 1; rest--)
            buffer[at++] = *c++;
        if (n > 0)
            buffer[at++] = *c;
    }
    at += (size_t)snprintf(buffer + at, 4, "%s", *c ? "..." : "");
    buffer[at++] = '\n';
    return at;
}

size_t journal_length(const char *value)
{
    size_t length = 0;
    for (const char *c = value; *c && length < VALUE_MAX;) {
        size_t n = readable(c);
        length += n ? n : sizeof "\\x00" - 1;
        c += n ? n : 1;
    }
    return length + sizeof "...";
}

void journal_keep(const char *field, const char *value)
{
    kept_used = append(kept, sizeof kept, kept_used, field, value);
}

void journal_name(const char *account, const char *key)
{
    snprintf(who, sizeof who, "%s%s%s%s: ", account, *key ? " (" : "", key, *key ? ")" : "");
}

void journal_message(const char *text)
{
    char whole[VALUE_MAX + sizeof who];
    snprintf(whole, sizeof whole, "%s%s", who, text);
    journal_add("MESSAGE", whole);
}

void journal_begin(const char *event, const char *message_id, int priority)
{
    memcpy(record, kept, kept_used);
    used = kept_used;
    journal_add("SYSLOG_IDENTIFIER", "jailssh");
    journal_add("SYSLOG_FACILITY", "10");
    journal_add("JAILSSH_EVENT", event);
    journal_add("MESSAGE_ID", message_id);
    journal_add_number("PRIORITY", priority);
}

void journal_add(const char *field, const char *value)
{
    used = append(record, sizeof record, used, field, value);
}

void journal_add_number(const char *field, long long value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", value);
    journal_add(field, text);
}

int journal_descriptor(void)
{
    return journal;
}

int journal_offer(void)
{
    if (journal >= 0 && send(journal, record, used, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)used)
        return 1;
    return journal >= 0 && errno == EAGAIN ? 0 : -1;
}

bool journal_send(void)
{
    return journal >= 0 && send(journal, record, used, MSG_NOSIGNAL) == (ssize_t)used;
}
