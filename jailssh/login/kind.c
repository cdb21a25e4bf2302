/* The kinds of the plan's tokens (plan_ops.h), as jailssh/plan/ops.py has them. */
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "kind.h"
#include "plan_ops.h"

/* A plan has many thousand characters to look at.  STOP: the control characters and the slash. */
enum { ALNUM = 1, STOP = 2 };
static const unsigned char sort[256] = { ['0' ... '9'] = ALNUM, ['A' ... 'Z'] = ALNUM, ['a' ... 'z'] = ALNUM,
                                         [0 ... 0x1f] = STOP,   [0x7f] = STOP,         ['/'] = STOP };

static bool is_alnum(char c)
{
    return sort[(unsigned char)c] == ALNUM;
}

static bool all_in(const char *text, size_t least, size_t most, const char *extra)
{
    size_t length = strlen(text);
    if (length < least || length > most)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!is_alnum(text[i]) && !strchr(extra, text[i]))
            return false;
    return true;
}

static bool is_number(const char *text, const char *digits, size_t most)
{
    size_t length = strlen(text);
    return length >= 1 && length <= most && strspn(text, digits) == length;
}

bool kind_is_decimal(const char *text, size_t most)
{
    return is_number(text, "0123456789", most) && (text[0] != '0' || text[1] == '\0');
}

static bool is_clean_path(const char *path)
{
    const char *at = path;
    if (path[0] != '/' || path[1] == '\0')
        return path[0] == '/';
    while (*at == '/') {
        const char *part = ++at;
        while (sort[(unsigned char)*at] != STOP)
            at++;
        size_t n = (size_t)(at - part);
        if (n == 0 || (part[0] == '.' && (n == 1 || (n == 2 && part[1] == '.'))))
            return false;
    }
    return *at == '\0' && at - path < 4096;
}

bool kind_is_account(const char *name)
{
    size_t plain = strcspn(name, "$"); /* one may stand at the end */
    bool begins = is_alnum(name[0]) || name[0] == '_';
    return begins && plain <= 255 && all_in(name, 1, 256, "_.@-$") && (!name[plain] || !name[plain + 1]) &&
           !is_number(name, "0123456789", 256);
}

bool kind_is_jail(const char *name)
{
    static const char known[] = "abcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t length = strnlen(name, 65);
    return length >= 1 && length <= 64 && strspn(name, known) == length && !strchr("_.-", name[0]) &&
           !strstr(name, "..");
}

static bool is_hex(const char *text)
{
    size_t length = strlen(text);
    return length >= 16 && length <= 4096 * 16 && length % 16 == 0 && strspn(text, "0123456789abcdef") == length;
}

static bool is_integer(const char *text, size_t most)
{
    return is_number(text[0] == '-' ? text + 1 : text, "0123456789", most);
}

/* TEXT is one of the words in CHOICES, which stand between single blanks. */
static bool is_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (const char *at = choices; n > 0 && (at = strstr(at, text)); at++)
        if ((at == choices || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0') && !strchr(text, ' '))
            return true;
    return false;
}

/* What stands behind the PREFIX of a class, or NULL. */
static const char *behind(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* LEAST:MOST, of at most nine and ten digits. */
static bool parse_range(const char *text, struct value_class *out)
{
    char least[16];
    size_t n = strcspn(text, ":");
    if (text[n] != ':' || n >= sizeof least)
        return false;
    memcpy(least, text, n);
    least[n] = '\0';
    *out = (struct value_class){ CLASS_INT, strtoll(least, NULL, 10), strtoll(text + n + 1, NULL, 10), NULL };
    return is_integer(least, 9) && is_integer(text + n + 1, 10);
}

bool class_parse(const char *text, struct value_class *out)
{
    static const char *const plain[] = {
        [CLASS_FLAG] = "flag",
        [CLASS_WORD] = "word",
        [CLASS_TEXT] = "text",
        [CLASS_PATH] = "path",
        [CLASS_CAPABILITIES] = "capabilities",
        [CLASS_REPOSITORY] = "repository",
        [CLASS_NEW_REPOSITORY] = "new-repository",
    };
    const char *rest;
    for (size_t kind = 0; kind < sizeof plain / sizeof *plain; kind++)
        if (strcmp(text, plain[kind]) == 0) {
            *out = (struct value_class){ .kind = (enum class_kind)kind };
            return true;
        }
    if ((rest = behind(text, "int:")))
        return parse_range(rest, out);
    if ((rest = behind(text, "size:"))) {
        *out = (struct value_class){ CLASS_SIZE, 0, strtoll(rest, NULL, 10), NULL };
        return is_number(rest, "0123456789", 18);
    }
    if ((rest = behind(text, "enum:"))) {
        *out = (struct value_class){ CLASS_ENUM, 0, 0, rest };
        return all_in(rest, 1, 1024, "_.,-");
    }
    if ((rest = behind(text, "pattern:"))) {
        *out = (struct value_class){ CLASS_PATTERN, 0, 0, rest };
        return all_in(rest, 1, 255, "_.,:+@%=*-");
    }
    return false;
}

static bool fits_choice(char kind, const char *text)
{
    static const char *const choices[] = { ['j'] = "allow require",
                                           ['y'] = "no yes",
                                           ['N'] = "none host loopback account",
                                           ['w'] = "ro rw",
                                           ['x'] = "exec noexec",
                                           ['U'] = "user root",
                                           ['A'] = "0 126",
                                           ['m'] = "must optional make",
                                           ['r'] = "as core cpu data fsize memlock nofile nproc stack" };
    return is_choice(choices[(unsigned char)kind], text);
}

/* Numbers in whole decimal form, within bounds. */
static bool fits_range(char kind, const char *text)
{
    static const long long day = 86400;
    const struct {
        char kind;
        long long low, high;
    } ranges[] = { { 'g', 1, 0x7fffffff }, { 'k', 0, 19 },        { 's', 1, 999999 },
                   { 'd', 1, 366 * day },  { 'z', 1, LLONG_MAX }, { 'D', 1, 127 },
                   { 'M', 0, 1440 },       { 'S', -day, day },    { 'O', 0, 1024 } };
    bool negative = text[0] == '-';
    if (!kind_is_decimal(text + negative, 18))
        return false;
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (ranges[i].kind == kind)
            return (!negative || ranges[i].low < 0) && strtoll(text, NULL, 10) >= ranges[i].low &&
                   strtoll(text, NULL, 10) <= ranges[i].high;
    return false;
}

/* The name of a variable, or the beginning of names and a *. */
static bool is_accepted_name(const char *text)
{
    char name[80];
    size_t length = strcspn(text, "*");
    if (length >= sizeof name || (text[length] && text[length + 1]))
        return false;
    memcpy(name, text, length);
    name[length] = '\0';
    return kind_fits('e', name);
}

bool kind_fits(char kind, const char *text)
{
    switch (kind) {
    case 'n':
        return all_in(text, 1, 200, "_.+-") && (is_alnum(text[0]) || text[0] == '_');
    case 'p':
        return is_clean_path(text);
    case 'u':
        return kind_is_decimal(text, 18);
    case 'o':
        return is_number(text, "01234567", 4);
    case 'e':
        return all_in(text, 1, 64, "_") && !isdigit((unsigned char)text[0]);
    case 't':
        return strlen(text) <= PLAN_MAX_TOKEN;
    case 'h':
        return is_hex(text);
    case 'l':
        return all_in(text, 1, 1, "@");
    case 'L':
        return all_in(text, 1, 64, "@");
    case 'b':
        return all_in(text, 16, 16384, "+/=");
    case 'a':
        return strlen(text) >= 3 && is_number(text, "0123456789abcdef:./", 64);
    case 'E':
        return is_accepted_name(text);
    case 'g':
    case 'k':
    case 's':
    case 'd':
    case 'z':
    case 'D':
    case 'M':
    case 'S':
    case 'O':
        return fits_range(kind, text);
    default:
        return fits_choice(kind, text);
    }
}
