#include "record.h"

#include <stdio.h>
#include <string.h>

#include "line.h"
#include "native.h"
#include "out.h"

/* From syslog(3).  A jail tells nobody's terminal that the system goes down (LOG_EMERG, journald.conf(5):
 * ForwardToWall), and writes to no log that other programs act on: of the facilities it has user's and the local ones.
 */
enum { EMERG = 0, ALERT = 1, INFO = 6, FACILITY_USER = 1, FACILITY_LOCAL0 = 16, FACILITY_LOCAL7 = 23, TAG_MOST = 64 };

#define EVENT_MESSAGE "message"
#define EVENT_MESSAGE_ID "a3d94c5e18f74b06b2c7e5d1f09a6b83"
#define EVENT_LOST "messages-lost"
#define EVENT_LOST_ID "1b7e60f2d94a4c5eb8a35c7f20d6e914"

static char room[RECORD_MOST];

static struct out begin(void)
{
    return (struct out){ .to = room, .size = sizeof room };
}

/* A word of the identifier: what ends a tag, or is no part of one, is not in it. */
static void put_tag(struct out *out, struct text tag)
{
    char word[TAG_MOST];
    size_t n = tag.length < sizeof word ? tag.length : sizeof word;
    for (size_t i = 0; i < n; i++) {
        char c = tag.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("._+@/-", c);
        word[i] = plain && c ? c : '_';
    }
    out_raw(out, word, n);
}

static void put_field(struct out *out, const char *name, long long value)
{
    out_text(out, name);
    out_number(out, value);
    out_text(out, "\n");
}

static void put_head(struct out *out, const struct origin *from, const struct said *said)
{
    bool kept =
        said->facility == FACILITY_USER || (said->facility >= FACILITY_LOCAL0 && said->facility <= FACILITY_LOCAL7);
    out_text(out, "MESSAGE=");
    out_foreign(out, said->message.at, said->message.length);
    put_field(out, "\nPRIORITY=", said->priority == EMERG ? ALERT : said->priority);
    put_field(out, "SYSLOG_FACILITY=", kept ? said->facility : FACILITY_USER);
    out_text(out, "SYSLOG_IDENTIFIER=jailed/");
    out_text(out, from->user);
    out_text(out, said->tag.length ? "/" : "");
    put_tag(out, said->tag);
    put_field(out, "\nSYSLOG_PID=", from->pid);
    out_text(out, from->fields);
    if (*from->session) {
        out_text(out, "JAILSSH_SESSION=");
        out_text(out, from->session);
        out_text(out, "\n");
    }
    if (!kept)
        put_field(out, "JAILSSH_FACILITY=", said->facility);
    out_text(out, "JAILSSH_EVENT=" EVENT_MESSAGE "\nMESSAGE_ID=" EVENT_MESSAGE_ID "\n");
}

static enum outcome make_line(const struct origin *from, const char *text, size_t length, record_taker *take,
                              void *with)
{
    struct said said = { .priority = INFO, .facility = FACILITY_USER };
    struct out out = begin();
    line_read(text, length, &said);
    put_head(&out, from, &said);
    if (out.full)
        return TOO_LARGE;
    return take(with, out.to, out.used) ? TAKEN : NO_ROOM;
}

/* One entry of a native message, from *AT on. */
static enum outcome make_entry(const struct origin *from, const char **at, const char *end, struct out *out)
{
    const char *start = *at;
    struct said said = { .priority = INFO, .facility = FACILITY_USER };
    struct field field;
    size_t count = 0;
    enum field_kind kind;
    while ((kind = native_next(at, end, &field)) == A_FIELD) {
        if (++count > FIELDS_MOST)
            return MALFORMED;
        native_say(&field, &said);
    }
    if (kind == NO_FIELD)
        return MALFORMED;
    put_head(out, from, &said);
    while (native_next(&start, end, &field) == A_FIELD) {
        if (!native_may_pass(&field))
            continue;
        out_raw(out, field.name.at, field.name.length);
        out_text(out, "=");
        out_foreign(out, field.value.at, field.value.length);
        out_text(out, "\n");
    }
    return out->full ? TOO_LARGE : TAKEN;
}

static enum outcome make_entries(const struct origin *from, const char *text, size_t length, record_taker *take,
                                 void *with)
{
    const char *at = text, *end = text + length;
    for (size_t count = 0; at < end;) {
        struct out out = begin();
        if (*at == '\n') { /* between two entries, or noise */
            at++;
            continue;
        }
        if (++count > ENTRIES_MOST)
            return MALFORMED;
        enum outcome outcome = make_entry(from, &at, end, &out);
        if (outcome != TAKEN)
            return outcome;
        if (!take(with, out.to, out.used))
            return NO_ROOM;
    }
    return TAKEN;
}

enum outcome record_make(const struct origin *from, const char *text, size_t length, record_taker *take, void *with)
{
    /* Both protocols come by one socket: a native message begins with the name of a field, one of syslog(3) with <. */
    if (native_looks(text, length))
        return make_entries(from, text, length, take, with);
    return make_line(from, text, length, take, with);
}

void record_of_drops(const struct origin *from, const char *how, unsigned long long count, record_taker *take,
                     void *with)
{
    struct out out = begin();
    out_text(&out, "MESSAGE=");
    out_text(&out, from->user);
    out_text(&out, ": messages from its jail are lost: ");
    out_text(&out, how);
    out_text(&out, "\nPRIORITY=4\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER=jailssh\n");
    out_text(&out, from->fields);
    put_field(&out, "JAILSSH_DROPPED=", (long long)count);
    out_text(&out, "JAILSSH_EVENT=" EVENT_LOST "\nMESSAGE_ID=" EVENT_LOST_ID "\n");
    if (!out.full)
        take(with, out.to, out.used);
}

/* The value of a line of RECORD; ours have no value with a newline. */
static struct text value_of(const char *record, size_t length, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = record, *end = record + length; at < end;) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        size_t line = next ? (size_t)(next - at) : (size_t)(end - at);
        if (line >= n && memcmp(at, name, n) == 0)
            return (struct text){ at + n, line - n };
        at += line + 1;
    }
    return (struct text){ "", 0 };
}

static long number_of(const char *record, size_t length, const char *name)
{
    struct text value = value_of(record, length, name);
    long number = 0;
    for (size_t i = 0; i < value.length && i < 10; i++)
        number = number * 10 + (value.at[i] - '0');
    return number;
}

size_t record_as_line(const char *record, size_t length, const char *now, char *line, size_t size)
{
    struct text message = value_of(record, length, "MESSAGE="), tag = value_of(record, length, "SYSLOG_IDENTIFIER=");
    long priority = number_of(record, length, "PRIORITY="), facility = number_of(record, length, "SYSLOG_FACILITY=");
    long pid = number_of(record, length, "SYSLOG_PID=");
    char of[32] = "";
    if (pid)
        snprintf(of, sizeof of, "[%ld]", pid);
    int n = snprintf(line, size, "<%ld>%s %.*s%s: ", facility * 8 + priority, now, (int)tag.length, tag.at, of);
    if (n < 0 || (size_t)n >= size)
        return 0;
    size_t rest = message.length < size - (size_t)n ? message.length : size - (size_t)n;
    while (rest > 0 && rest < message.length && (message.at[rest] & 0xc0) == 0x80)
        rest--; /* whole characters only */
    memcpy(line + n, message.at, rest);
    return (size_t)n + rest;
}
