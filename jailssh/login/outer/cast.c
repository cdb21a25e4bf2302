#include "cast.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"

/* Bytes that become one event, the most that one of them becomes ("\u0007"), and what stands around them at most. */
enum { PIECE = 16384, LONGEST = 6, HEAD = 512 };

/* A line, which is written whole: a recording that is cut somewhere can be read up to there. */
struct line {
    char text[HEAD + LONGEST * (PIECE + 4)];
    size_t used;
};

static struct line line;

static void begin(long long nanoseconds, char code)
{
    line.used = (size_t)snprintf(line.text, sizeof line.text, "[%lld.%06lld, \"%c\", \"", nanoseconds / SECOND,
                                 nanoseconds % SECOND / 1000, code);
}

/* Bytes of the character that begins at C, of which COUNT are there (RFC 3629): 0 where none begins so, more than COUNT
 * where its end is missing. */
static size_t character(const unsigned char *c, size_t count)
{
    static const unsigned char least[] = { [0x60] = 0xa0, [0x70] = 0x90 }, most[] = { [0x6d] = 0x9f, [0x74] = 0x8f };
    if (c[0] < 0x80)
        return 1;
    size_t n = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2, first = c[0] & 0x7fu;
    if (c[0] < 0xc2 || c[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n && i < count; i++) {
        /* The second byte: neither longer than needed, nor a surrogate, nor beyond U+10FFFF. */
        unsigned char low = i == 1 && first < sizeof least && least[first] ? least[first] : 0x80;
        unsigned char high = i == 1 && first < sizeof most && most[first] ? most[first] : 0xbf;
        if (c[i] < low || c[i] > high)
            return 0;
    }
    return n;
}

static void put(const void *bytes, size_t size)
{
    memcpy(line.text + line.used, bytes, size);
    line.used += size;
}

static void put_string(const char *text)
{
    put(text, strlen(text));
}

/* How many of the SIZE bytes at TEXT stand for themselves, up to the first that does not: of a busy terminal nearly
 * all. Eight at a time, where a sum sets the highest bit of a byte that is no such character. */
static size_t plain(const unsigned char *text, size_t size)
{
    const uint64_t each = 0x0101010101010101, high = each * 0x80;
    size_t at = 0;
    for (uint64_t w; size - at >= sizeof w; at += sizeof w) {
        memcpy(&w, text + at, sizeof w);
        uint64_t quote = (w ^ each * '"') - each, backslash = (w ^ each * '\\') - each;
        if ((w | (w + each) | (w - each * 0x20) | quote | backslash) & high)
            break;
    }
    while (at < size && text[at] >= 0x20 && text[at] < 0x7f && text[at] != '"' && text[at] != '\\')
        at++;
    return at;
}

/* Put the character of N bytes at C as JSON has it (RFC 8259); 0: no character, in whose place U+FFFD stands. */
static void put_character(const unsigned char *c, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    if (n == 0)
        put_string("\xef\xbf\xbd");
    else if (*c == '"' || *c == '\\')
        put((const char[]){ '\\', (char)*c }, 2);
    else if (*c < 0x20 || *c == 0x7f)
        put((const char[]){ '\\', 'u', '0', '0', hex[*c >> 4], hex[*c & 15] }, LONGEST);
    else
        put(c, n);
}

/* Put SIZE bytes, at most PIECE, behind what is left of a character, and keep what is left of the next one. */
static void put_text(const char *data, size_t size, struct unfinished *left)
{
    unsigned char whole[PIECE + sizeof left->bytes];
    size_t have = left->count + size, at = 0;
    memcpy(whole, left->bytes, left->count);
    memcpy(whole + left->count, data, size);
    left->count = 0;
    while (at < have) {
        size_t run = plain(whole + at, have - at);
        put(whole + at, run);
        if ((at += run) == have)
            return;
        size_t n = character(whole + at, have - at);
        if (n > have - at) {
            left->count = have - at;
            memcpy(left->bytes, whole + at, left->count);
            return;
        }
        put_character(whole + at, n);
        at += n ? n : 1;
    }
}

static bool finish(struct cast *cast, const char *end)
{
    put_string(end);
    if (line.used > cast->room) {
        errno = EFBIG;
        return false;
    }
    cast->room -= line.used;
    ssize_t n = write(cast->file, line.text, line.used);
    if (n >= 0 && n < (ssize_t)line.used)
        errno = ENOSPC;
    return n == (ssize_t)line.used;
}

static bool add(struct cast *cast, char code, const char *data, size_t size, struct unfinished *left, long long now)
{
    for (size_t at = 0, n; at < size; at += n) {
        n = size - at < PIECE ? size - at : PIECE;
        begin(now - cast->began, code);
        size_t before = line.used;
        put_text(data + at, n, left);
        if (line.used > before && !finish(cast, "\"]\n"))
            return false;
    }
    return true;
}

static struct winsize size_of_terminal(void)
{
    struct winsize size;
    if (ioctl(0, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0)
        size = (struct winsize){ .ws_col = 80, .ws_row = 24 };
    return size;
}

static const char *terminal(const struct request *request)
{
    for (char **entry = request->env; *entry; entry++)
        if (strncmp(*entry, "TERM=", 5) == 0)
            return *entry + 5; /* letters, digits and "._+-": see env.c */
    return "dumb";
}

bool cast_begin(struct cast *cast, int file, const struct plan *plan, const struct request *request, long long now)
{
    char *const *args = plan_first(plan, OP_RECORD);
    struct unfinished rest = { .count = 0 };
    cast->file = file;
    if (file < 0)
        return true;
    cast->room = plan_number(args[1], 10);
    cast->input = strcmp(args[2], "yes") == 0;
    cast->began = now;
    struct winsize size = size_of_terminal();
    line.used = (size_t)snprintf(line.text, sizeof line.text,
                                 "{\"version\": 2, \"width\": %u, \"height\": %u, \"timestamp\": %lld, "
                                 "\"env\": {\"TERM\": \"%s\"}, \"title\": \"%s\"",
                                 size.ws_col, size.ws_row, (long long)time(NULL), terminal(request), plan->name);
    if (request->command) {
        size_t length = strnlen(request->command, PIECE);
        put_string(", \"command\": \"");
        put_text(request->command, length, &rest);
        put_string("\"");
    }
    return finish(cast, "}\n");
}

bool cast_shown(struct cast *cast, const char *data, size_t size, long long now)
{
    return cast->file < 0 || add(cast, 'o', data, size, &cast->shown, now);
}

bool cast_typed(struct cast *cast, int master, const char *data, size_t size, long long now)
{
    struct termios modes;
    if (cast->file < 0 || !cast->input)
        return true;
    /* What a terminal does not echo can be a password, also one that a program reads key by key. */
    if (tcgetattr(master, &modes) != 0 || !(modes.c_lflag & ECHO)) {
        cast->typed.count = 0;
        return true;
    }
    return add(cast, 'i', data, size, &cast->typed, now);
}

bool cast_resized(struct cast *cast, long long now)
{
    if (cast->file < 0)
        return true;
    struct winsize size = size_of_terminal();
    begin(now - cast->began, 'r');
    line.used += (size_t)snprintf(line.text + line.used, HEAD, "%ux%u", size.ws_col, size.ws_row);
    return finish(cast, "\"]\n");
}
