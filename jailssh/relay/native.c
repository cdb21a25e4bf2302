#include "native.h"

#include <stdint.h>
#include <string.h>

enum { NAME_MOST = 64 };

static bool is_name(const char *text, size_t length)
{
    if (length < 1 || length > NAME_MOST || (text[0] >= '0' && text[0] <= '9'))
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    return true;
}

bool native_looks(const char *text, size_t length)
{
    size_t n = 0;
    while (n < length && n <= NAME_MOST && text[n] != '=' && text[n] != '\n')
        n++;
    return n < length && (text[n] == '=' || text[n] == '\n') && is_name(text, n);
}

/* NAME, a newline, the length, the value, a newline. */
static bool read_long(const char **at, const char *end, struct field *field)
{
    uint64_t length = 0;
    const char *from = *at;
    if (end - from < 8)
        return false;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | (unsigned char)from[i];
    from += 8;
    if (length >= (uint64_t)(end - from) || from[length] != '\n')
        return false;
    field->value = (struct text){ from, (size_t)length };
    *at = from + length + 1;
    return true;
}

enum field_kind native_next(const char **at, const char *end, struct field *field)
{
    if (*at >= end || **at == '\n')
        return END_OF_ENTRY;
    const char *line = *at, *stop = memchr(line, '\n', (size_t)(end - line));
    size_t length = stop ? (size_t)(stop - line) : (size_t)(end - line);
    const char *equals = memchr(line, '=', length);
    field->name = (struct text){ line, equals ? (size_t)(equals - line) : length };
    *at = stop ? stop + 1 : end;
    if (equals) {
        field->value = (struct text){ equals + 1, length - field->name.length - 1 };
        return A_FIELD;
    }
    return stop && read_long(at, end, field) ? A_FIELD : NO_FIELD;
}

static bool is(const struct field *field, const char *name)
{
    return field->name.length == strlen(name) && memcmp(field->name.at, name, field->name.length) == 0;
}

static void say_number(const struct text *value, int most, int *number)
{
    int found = 0;
    for (size_t i = 0; i < value->length; i++) {
        if (value->at[i] < '0' || value->at[i] > '9' || i > 2)
            return;
        found = found * 10 + (value->at[i] - '0');
    }
    if (value->length > 0 && found <= most)
        *number = found;
}

void native_say(const struct field *field, struct said *said)
{
    if (is(field, "MESSAGE") && !said->message.at)
        said->message = field->value;
    else if (is(field, "SYSLOG_IDENTIFIER") && !said->tag.at)
        said->tag = field->value;
    else if (is(field, "PRIORITY"))
        say_number(&field->value, 7, &said->priority);
    else if (is(field, "SYSLOG_FACILITY"))
        say_number(&field->value, 23, &said->facility);
}

bool native_may_pass(const struct field *field)
{
    /* What the journal vouches for and ours; what it puts there by itself; what journalctl(1), coredumpctl(1) and the
     * catalog go by. */
    static const char *const families[] = { "_", "JAILSSH_", "SYSLOG_", "OBJECT_", "COREDUMP_", "JOURNAL_" };
    static const char *const names[] = { "MESSAGE",   "MESSAGE_ID",    "PRIORITY", "UNIT",
                                         "USER_UNIT", "INVOCATION_ID", "LEADER",   "SESSION_ID" };
    if (!is_name(field->name.at, field->name.length))
        return false;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (strncmp(field->name.at, families[i], strlen(families[i])) == 0)
            return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is(field, names[i]))
            return false;
    return true;
}
