/* Each message of sftp-server is one write(2) and ends in a newline, also where the name of a file has newlines in it:
 * it escapes all other control characters, but not these.  So what counts is where a write ends, not where a line
 * does. */
#include "filelog.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "journal.h"

/* Sftp-server cuts messages to 1,021 bytes, between two escaped characters; what it cut may look like a shorter one. */
enum { MAY_BE_CUT = 1016 };

/* The operations, and the word that stands before the path. */
static const struct {
    const char *name, *before;
    bool two;
} operations[] = {
    { "open", "", false },
    { "close", "", false },
    { "opendir", "", false },
    { "closedir", "", false },
    { "set", "", false },
    { "statvfs", "", false },
    { "mkdir", "name ", false },
    { "rmdir", "name ", false },
    { "remove", "name ", false },
    { "rename", "old ", true },
    { "symlink", "old ", true },
    { "hardlink", "old ", true },
    { "posix-rename", "old ", true },
};

/* Past PREFIX at the beginning of TEXT, or NULL. */
static char *past(char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* End the digits at TEXT; returns where they begin, or NULL. */
static const char *digits(char *text)
{
    size_t n = strspn(text, "0123456789");
    text[n] = '\0';
    return n > 0 ? text : NULL;
}

/* Names are not escaped for quotes: the last quote of a line ends the path, since no word of sftp-server's own has one
 * after it; where two names could be divided in more than one way, they are left alone. */
static void take_paths(char *quote, bool two, struct operation *out)
{
    static const char between[] = "\" new \"";
    char *end = strrchr(quote + 1, '"'), *middle = two ? strstr(quote + 1, between) : NULL;
    if (!end || (two && (!middle || strstr(middle + 1, between) || middle + sizeof between - 1 > end)))
        return;
    char *rest = end + 1, *written;
    *end = '\0';
    out->path = quote + 1;
    if (two) {
        *middle = '\0';
        out->new_path = middle + sizeof between - 1;
    } else if ((rest = past(rest, " bytes read ")) && (written = strstr(rest, " written "))) {
        out->bytes_written = digits(written + strlen(" written "));
        out->bytes_read = digits(rest);
    }
}

bool operation_parse(char *line, struct operation *out)
{
    size_t length = strlen(line);
    char *closed = past(line, "forced "), *begin = closed ? closed : line;
    *out = (struct operation){ 0 };
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        char *blank = past(begin, operations[i].name), *word = blank ? past(blank, " ") : NULL;
        char *quote = word ? past(word, operations[i].before) : NULL;
        if (!quote || *quote != '"')
            continue;
        *blank = '\0';
        out->name = begin;
        if (length < MAY_BE_CUT)
            take_paths(quote, operations[i].two, out);
        return true;
    }
    return false;
}

struct pollfd filelog_wants(const struct filelog *log)
{
    if (log->whole)
        return (struct pollfd){ .fd = journal_descriptor(), .events = POLLOUT };
    return (struct pollfd){ .fd = log->from, .events = POLLIN };
}

/* Add a packet to the line.  It is whole where a packet ends in a newline, and at the end. */
static enum logged take_packet(struct filelog *log)
{
    char packet[LINE_MAX_KEPT];
    ssize_t n = recv(log->from, packet, sizeof packet, MSG_TRUNC);
    bool cut = n > (ssize_t)sizeof packet;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return LOG_WAITS;
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
    return LOG_GOES;
}

static void add(const char *field, const char *value)
{
    if (value)
        journal_add(field, value);
}

static int offer(const struct filelog *log)
{
    char parsed[sizeof log->line];
    struct operation operation;
    journal_begin(EVENT_FILE, EVENT_FILE_ID, 6);
    journal_message(log->line);
    memcpy(parsed, log->line, log->have + 1);
    if (operation_parse(parsed, &operation)) {
        journal_add("JAILSSH_OPERATION", operation.name);
        add("JAILSSH_PATH", operation.path);
        add("JAILSSH_NEW_PATH", operation.new_path);
        add("JAILSSH_BYTES_READ", operation.bytes_read);
        add("JAILSSH_BYTES_WRITTEN", operation.bytes_written);
    }
    return journal_offer();
}

enum logged filelog_step(struct filelog *log)
{
    if (!log->whole) {
        enum logged taken = take_packet(log);
        if (!log->whole)
            return taken;
    }
    int sent = log->have > 0 ? offer(log) : 1;
    if (sent == 0)
        return LOG_WAITS;
    log->whole = false;
    log->have = 0;
    return sent > 0 ? LOG_GOES : LOG_LOST;
}
