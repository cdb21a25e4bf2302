/* What a jail logs: a byte that chooses, then the message.  The records are those that are made here in another way,
 * and nothing else; what nobody can read is in none, nor in the line that a syslog daemon gets. */
#include "fuzz.h"

#include <fnmatch.h>
#include <locale.h>
#include <wchar.h>

#include "record.h"

#define ACCOUNT "JAILSSH_USER=alice\nJAILSSH_UID=1001\nJAILSSH_JAIL=dev\n"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define DIGITS "0123456789"
#define WORD UPPER DIGITS "abcdefghijklmnopqrstuvwxyz.+@/-"
#define DATE "[A-Za-z][A-Za-z][A-Za-z] [ 0-9][ 0-9] [ 0-9][ 0-9]:[ 0-9][ 0-9]:[ 0-9][ 0-9] "
#define NOW "Nov 28 21:00:00"

enum { HEAD_MOST = 600, SMALL = 256, LARGE = 8192 };

struct bytes {
    const char *at;
    size_t size;
};

struct message {
    const char *at, *end;    /* what no record has yet */
    bool native, bad;        /* bad: what came next is no entry */
    size_t records, refused; /* the number of the record for which there is no room, 0 for none */
    const char *session;
};

struct model {
    unsigned priority, facility;
    struct bytes tag, text;
    char *fields; /* of the sender's, as they pass */
    size_t size;
};

static bool is_name(const char *text, size_t size)
{
    return size >= 1 && size <= 64 && strspn(text, UPPER DIGITS) >= size && !strchr(DIGITS, *text);
}

static bool is_native(const char *text)
{
    size_t size = strspn(text, UPPER DIGITS);
    return is_name(text, size) && (text[size] == '=' || text[size] == '\n');
}

static void write_readable(FILE *out, struct bytes value)
{
    for (size_t i = 0, n; i < value.size; i += n) {
        mbstate_t state = { 0 };
        wchar_t c = 0;
        n = mbrtowc(&c, value.at + i, value.size - i, &state);
        bool good = n >= 1 && n <= 4 && c >= 0x20 && !(c >= 0x7f && c < 0xa0);
        good = good && !(c >= 0xd800 && c < 0xe000) && c < 0x110000; /* RFC 3629; the C library takes more */
        n = good ? n : 1;
        if (good)
            fwrite(value.at + i, 1, n, out);
        else
            fprintf(out, "\\x%02x", (unsigned char)value.at[i]);
    }
}

static bool passes(const char *name, size_t size)
{
    static const char *const none[] = { "_*",      "JAILSSH_*", "SYSLOG_*", "OBJECT_*",  "COREDUMP_*",    "JOURNAL_*",
                                        "MESSAGE", "PRIORITY",  "UNIT",     "USER_UNIT", "INVOCATION_ID", "MESSAGE_ID",
                                        "LEADER",  "SESSION_ID" };
    char word[65] = "";
    if (!is_name(name, size))
        return false;
    memcpy(word, name, size);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (fnmatch(none[i], word, 0) == 0)
            return false;
    return true;
}

static void say(unsigned *number, unsigned most, struct bytes value)
{
    char text[4] = "";
    if (value.size < 1 || value.size > 3)
        return;
    memcpy(text, value.at, value.size);
    if (strspn(text, DIGITS) == value.size && (unsigned)atoi(text) <= most)
        *number = (unsigned)atoi(text);
}

static bool named(struct bytes name, const char *what)
{
    return name.size == strlen(what) && memcmp(name.at, what, name.size) == 0;
}

/* Take the field at *AT; false if it is none. */
static bool next_field(const char **at, const char *end, struct bytes *name, struct bytes *value)
{
    size_t line = 0, size = 0;
    while (*at + line < end && (*at)[line] != '\n')
        line++;
    *name = (struct bytes){ *at, 0 };
    while (name->size < line && name->at[name->size] != '=')
        name->size++;
    if (name->size < line) {
        *value = (struct bytes){ *at + name->size + 1, line - name->size - 1 };
        *at += *at + line < end ? line + 1 : line;
        return true;
    }
    if ((size_t)(end - *at) < line + 9)
        return false;
    *at += line + 1;
    for (size_t i = 0; i < 8; i++)
        size |= (size_t)(unsigned char)(*at)[i] << 8 * i;
    *at += 8;
    *value = (struct bytes){ *at, size };
    if (size >= (size_t)(end - *at) || (*at)[size] != '\n')
        return false;
    *at += size + 1;
    return true;
}

/* The next entry; false if there is none that can be read. */
static bool read_entry(struct message *message, struct model *model)
{
    struct bytes name, value;
    size_t count = 0;
    bool good = true;
    FILE *out = open_memstream(&model->fields, &model->size);
    HOLDS(out);
    while (message->at < message->end && *message->at == '\n')
        message->at++;
    good = message->at < message->end && message->records < 256;
    message->bad = message->at < message->end && !good;
    while (good && message->at < message->end && *message->at != '\n') {
        good = next_field(&message->at, message->end, &name, &value) && ++count <= 64;
        message->bad = !good;
        if (!good)
            break;
        if (named(name, "MESSAGE") && !model->text.at)
            model->text = value;
        if (named(name, "SYSLOG_IDENTIFIER") && !model->tag.at)
            model->tag = value;
        if (named(name, "PRIORITY"))
            say(&model->priority, 7, value);
        if (named(name, "SYSLOG_FACILITY"))
            say(&model->facility, 23, value);
        if (!passes(name.at, name.size))
            continue;
        fprintf(out, "%.*s=", (int)name.size, name.at);
        write_readable(out, value);
        fputc('\n', out);
    }
    fclose(out);
    return good;
}

static void read_line(struct message *message, struct model *model)
{
    const char *at = message->at, *end = message->end;
    char date[17] = "";
    while (end > at && (end[-1] == '\n' || end[-1] == '\0'))
        end--;
    size_t n = *at == '<' ? strspn(at + 1, DIGITS) : 0;
    if (n >= 1 && n <= 3 && at + n + 1 < end && at[n + 1] == '>') {
        unsigned priority = (unsigned)atoi(at + 1);
        model->priority = priority < 192 ? priority % 8 : model->priority;
        model->facility = priority < 192 ? priority / 8 : model->facility;
        at += n + 2;
    }
    memcpy(date, at, (size_t)(end - at) < 16 ? (size_t)(end - at) : 16);
    if (fnmatch(DATE, date, 0) == 0)
        at += 16;
    for (n = 0; at + n < end && !memchr(" \t\n", at[n], 3); n++)
        ;
    if (n >= 2 && at[n - 1] == ':') {
        const char *pid = at[n - 2] == ']' ? memchr(at, '[', n) : NULL;
        model->tag = (struct bytes){ at, pid ? (size_t)(pid - at) : n - 1 };
        at += at + n < end && at[n] == ' ' ? n + 1 : n;
    }
    model->text = (struct bytes){ at, (size_t)(end - at) };
    message->at = message->end;
}

static char *write_record(const struct message *message, const struct model *model, size_t *size)
{
    char *text;
    FILE *out = open_memstream(&text, size);
    HOLDS(out);
    bool kept = model->facility == 1 || model->facility >= 16;
    fputs("MESSAGE=", out);
    write_readable(out, model->text);
    fprintf(out, "\nPRIORITY=%u\nSYSLOG_FACILITY=%u\nSYSLOG_IDENTIFIER=jailed/alice%s",
            model->priority ? model->priority : 1, kept ? model->facility : 1, model->tag.size ? "/" : "");
    for (size_t i = 0; i < model->tag.size && i < 64; i++)
        fputc(memchr(WORD, model->tag.at[i], strlen(WORD)) ? model->tag.at[i] : '_', out);
    fputs("\nSYSLOG_PID=77\n" ACCOUNT, out);
    if (*message->session)
        fprintf(out, "JAILSSH_SESSION=%s\n", message->session);
    if (!kept)
        fprintf(out, "JAILSSH_FACILITY=%u\n", model->facility);
    fputs("JAILSSH_EVENT=message\nMESSAGE_ID=a3d94c5e18f74b06b2c7e5d1f09a6b83\n", out);
    fwrite(model->fields, 1, model->size, out);
    fclose(out);
    return text;
}

/* As a line, of which there is as much as is room for. */
static void check_line(const char *record, size_t size, size_t most)
{
    char *line = malloc(most), *shown, *start;
    const char *newline = memchr(record, '\n', size), *tag = strstr(newline, "\nSYSLOG_IDENTIFIER=") + 19;
    size_t length = record_as_line(record, size, NOW, line, most), all, head;
    HOLDS(line && length <= most);
    struct bytes text = { record + 8, (size_t)(newline - record) - 8 };
    unsigned priority = (unsigned)(newline[10] - '0'), facility = (unsigned)atoi(strstr(newline, "FACILITY=") + 9);
    FILE *out = open_memstream(&start, &head);
    HOLDS(out);
    fprintf(out, "<%u>" NOW " %.*s[77]: ", facility * 8 + priority, (int)strcspn(tag, "\n"), tag);
    fclose(out);
    HOLDS(length >= head && memcmp(line, start, head) == 0);
    HOLDS(length - head <= text.size && memcmp(line + head, text.at, length - head) == 0);
    HOLDS(length - head == text.size || length + 3 >= most);
    out = open_memstream(&shown, &all);
    HOLDS(out);
    write_readable(out, (struct bytes){ line, length });
    fclose(out);
    HOLDS(all == length); /* nothing of it had to be written in another way */
    free(shown);
    free(start);
    free(line);
}

static bool take(void *with, const char *record, size_t size)
{
    struct message *message = with;
    struct model model = { .priority = 6, .facility = 1 };
    size_t length;
    const char *from = message->at;
    if (message->native)
        HOLDS(read_entry(message, &model));
    else
        read_line(message, &model);
    char *text = write_record(message, &model, &length), *own = string_of((const unsigned char *)record, size);
    HOLDS(size == length && memcmp(record, text, size) == 0);
    HOLDS(size <= HEAD_MOST + 4 * (size_t)(message->end - from));
    check_line(own, size, SMALL);
    check_line(own, size, LARGE);
    free(own);
    free(text);
    free(model.fields);
    return ++message->records != message->refused;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static bool ready;
    HOLDS(ready || setlocale(LC_CTYPE, "C.UTF-8"));
    ready = true;
    if (size == 0)
        return 0;
    char *text = string_of(data + 1, size - 1);
    struct message message = {
        text, text + size - 1, is_native(text), false, 0, data[0] >> 1 & 7, data[0] & 1 ? "0123456789abcdef" : ""
    };
    struct origin from = { "alice", ACCOUNT, 77, message.session };
    struct model model = { 0 };
    enum outcome outcome = record_make(&from, text, size - 1, take, &message);
    HOLDS(outcome != TOO_LARGE && (outcome == NO_ROOM) == (message.refused && message.records == message.refused));
    if (outcome == TAKEN)
        HOLDS(message.native ? !read_entry(&message, &model) && !message.bad : message.records == 1);
    if (outcome == MALFORMED)
        HOLDS(message.native && !read_entry(&message, &model) && message.bad);
    free(model.fields);
    free(text);
    return 0;
}
