/* One record for what was done within a moment.  What decides stands in it line by line; left out is an open whose
 * close is there too and says as much, and what failed in the same way again is counted. */
#include "gather.h"

#include <stdio.h>
#include <string.h>

#include "journal.h"
#include "operation.h"

/* What a record needs beside its lines; what a line needs beside its text: names of fields, numbers. */
enum { RESERVED = 9216, PER_LINE = 64, PER_NAME = 24, PER_COUNT = 48, MESSAGE_MOST = 4000 };

static bool same(const struct gathering *g, const struct gathered *one, const char *line, size_t size)
{
    return one->times > 0 && one->size == size && memcmp(g->text + one->at, line, size) == 0;
}

/* A failure of which the same has been said, which may be counted: it has changed nothing. */
static struct gathered *again(struct gathering *g, const char *line, size_t size, bool opens)
{
    static const char failed[] = "sent status ";
    if (!opens && strncmp(line, failed, sizeof failed - 1) != 0)
        return NULL;
    for (unsigned i = g->count; i-- > 0;)
        if (same(g, &g->lines[i], line, size))
            return &g->lines[i];
    return NULL;
}

/* The open of what has been closed, if it may be left out.  One that could write stays where nothing was written, since
 * it may have made or emptied the file. */
static struct gathered *open_of(struct gathering *g, const struct operation *closed)
{
    size_t size = closed->path ? strlen(closed->path) : 0;
    for (unsigned i = g->count; size > 0 && i-- > 0;) {
        struct gathered *one = &g->lines[i];
        const char *path = g->text + one->at + one->path;
        if (!one->opens || one->times == 0 || one->path_size != size || memcmp(path, closed->path, size) != 0)
            continue;
        bool wrote = closed->bytes_written && strcmp(closed->bytes_written, "0") != 0;
        return wrote || !strstr(path + size, "WRITE") ? one : NULL;
    }
    return NULL;
}

static void leave_out(struct gathering *g, struct gathered *open)
{
    open->times--;
    for (; g->count > 0 && g->lines[g->count - 1].times == 0; g->count--) { /* most are the last, and need no room */
        g->used = g->lines[g->count - 1].at;
        g->cost -= g->lines[g->count - 1].cost;
    }
}

bool gather_add(struct gathering *g, const char *line, size_t size)
{
    char parsed[LINE_MAX_KEPT + 1];
    struct operation it = { 0 };
    memcpy(parsed, line, size);
    parsed[size] = '\0';
    size_t cost = PER_LINE + journal_length(line);
    bool known = operation_parse(parsed, &it), opens = known && it.path && strcmp(it.name, "open") == 0;
    struct gathered *before = again(g, line, size, opens);
    if (before) {
        before->times++;
        return true;
    }
    cost += it.path ? PER_NAME + journal_length(it.path) : 0;
    cost += it.new_path ? PER_NAME + journal_length(it.new_path) : 0;
    cost += it.bytes_read ? 2 * PER_COUNT : 0;
    struct gathered *open = known && strcmp(it.name, "close") == 0 ? open_of(g, &it) : NULL;
    bool takes_its_place = open && open->times == 1 && open == &g->lines[g->count - 1];
    if (!takes_its_place && (g->count == GATHER_LINES || g->used + size + 1 > sizeof g->text ||
                             (g->count > 0 && g->cost + cost > RECORD_MAX - RESERVED)))
        return false;
    if (open)
        leave_out(g, open);
    struct gathered *one = &g->lines[g->count++];
    *one = (struct gathered){ .at = g->used, .size = size, .cost = cost, .times = 1, .opens = opens };
    one->path = it.path ? (size_t)(it.path - parsed) : 0;
    one->path_size = it.path ? strlen(it.path) : 0;
    memcpy(g->text + g->used, line, size);
    g->text[g->used + size] = '\0';
    g->used += size + 1;
    g->cost += cost;
    return true;
}

unsigned gather_said(const struct gathering *g)
{
    unsigned said = 0;
    for (unsigned i = 0; i < g->count; i++)
        said += g->lines[i].times;
    return said;
}

/* What was done, for people: "remove /a". */
static void shortly(const struct gathering *g, const struct gathered *one, char *text, size_t size)
{
    char parsed[LINE_MAX_KEPT + 1];
    struct operation it;
    memcpy(parsed, g->text + one->at, one->size + 1);
    if (operation_parse(parsed, &it))
        snprintf(text, size, "%s%s%s", it.name, it.path ? " " : "", it.path ? it.path : "");
    else
        snprintf(text, size, "%.*s", (int)size - 1, parsed);
}

static void add_message(const struct gathering *g, unsigned shown, unsigned long long lost)
{
    char text[MESSAGE_MOST + 100], first[MESSAGE_MOST / 2], last[MESSAGE_MOST / 2], missing[64] = "";
    const struct gathered *begin = g->lines, *end = begin;
    unsigned said[2] = { 0, 0 }; /* other messages, operations */
    for (unsigned i = 0; i < g->count; i++) {
        const struct gathered *one = &g->lines[i];
        char parsed[LINE_MAX_KEPT + 1];
        struct operation it;
        memcpy(parsed, g->text + one->at, one->size + 1);
        bool known = one->times > 0 && operation_parse(parsed, &it);
        if (one->times > 0 && (known ? said[1] == 0 : said[0] + said[1] == 0))
            begin = one; /* operations come before other messages */
        if (one->times > 0 && (known || said[1] == 0))
            end = one;
        said[known] += one->times;
    }
    if (lost > 0)
        snprintf(missing, sizeof missing, " (%llu lines before it are lost)", lost);
    if (shown == 1) {
        const char *more = begin->times > 1 ? " times)" : "";
        char times[24] = "";
        if (*more)
            snprintf(times, sizeof times, " (%u", begin->times);
        char whole[LINE_MAX_KEPT + 120];
        snprintf(whole, sizeof whole, "%s%s%s%s", g->text + begin->at, times, more, missing);
        journal_message(whole);
        return;
    }
    shortly(g, begin, first, sizeof first);
    shortly(g, end, last, sizeof last);
    snprintf(text, sizeof text, "%u %s%s, %s%s%s%s", said[1] ? said[1] : said[0],
             said[1] ? "file operation" : "message", (said[1] ? said[1] : said[0]) == 1 ? "" : "s", first,
             begin == end ? "" : " ... ", begin == end ? "" : last, missing);
    journal_message(text);
}

struct told {
    unsigned long kinds;
    char bytes_read[24], bytes_written[24];
};

static void add(const char *field, const char *value)
{
    if (value)
        journal_add(field, value);
}

/* What has just been told of another file need not be told again: a record has a value of a field once. */
static void add_new(const char *field, const char *value, char *last, size_t size)
{
    if (!value || strcmp(value, last) == 0)
        return;
    snprintf(last, size, "%s", value);
    journal_add(field, value);
}

static void add_line(const char *line, struct told *told)
{
    char parsed[LINE_MAX_KEPT + 1];
    struct operation it;
    snprintf(parsed, sizeof parsed, "%s", line);
    if (!operation_parse(parsed, &it))
        return;
    if (!(told->kinds >> it.kind & 1))
        journal_add("JAILSSH_OPERATION", it.name);
    told->kinds |= 1ul << it.kind;
    add("JAILSSH_PATH", it.path);
    add("JAILSSH_NEW_PATH", it.new_path);
    add_new("JAILSSH_BYTES_READ", it.bytes_read, told->bytes_read, sizeof told->bytes_read);
    add_new("JAILSSH_BYTES_WRITTEN", it.bytes_written, told->bytes_written, sizeof told->bytes_written);
}

int gather_offer(const struct gathering *g, unsigned long long lost)
{
    char whole[LINE_MAX_KEPT + 64];
    unsigned shown = 0, number = 0;
    struct told told = { 0 };
    for (unsigned i = 0; i < g->count; i++)
        shown += g->lines[i].times > 0;
    journal_begin(EVENT_FILE, EVENT_FILE_ID, 6);
    add_message(g, shown, lost);
    if (lost > 0)
        journal_add_number("JAILSSH_LOST", (long long)lost);
    for (unsigned i = 0; i < g->count; i++) {
        const struct gathered *one = &g->lines[i];
        if (one->times == 0)
            continue;
        add_line(g->text + one->at, &told);
        int n = snprintf(whole, sizeof whole, "%u %s", ++number, g->text + one->at);
        if (one->times > 1)
            snprintf(whole + n, sizeof whole - (size_t)n, " (%u times)", one->times);
        if (shown > 1)
            journal_add("JAILSSH_FILE", whole);
    }
    return journal_offer();
}
