/* The kinds of the plan's tokens (plan_ops.h), as jailssh/plan/ops.py has them. */
#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

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

static bool is_class(const char *text)
{
    if (is_choice("flag word text path capabilities repository new-repository", text))
        return true;
    if (strncmp(text, "size:", 5) == 0)
        return is_number(text + 5, "0123456789", 18);
    if (strncmp(text, "enum:", 5) == 0)
        return all_in(text + 5, 1, 1024, "_.,-");
    if (strncmp(text, "pattern:", 8) == 0)
        return all_in(text + 8, 1, 255, "_.,:+@%=*-");
    if (strncmp(text, "int:", 4) != 0)
        return false;
    char low[16];
    const char *colon = strchr(text + 4, ':');
    if (!colon || (size_t)(colon - text - 4) >= sizeof low)
        return false;
    memcpy(low, text + 4, (size_t)(colon - text - 4));
    low[colon - text - 4] = '\0';
    return is_integer(low, 9) && is_integer(colon + 1, 10);
}

static bool fits_choice(char kind, const char *text)
{
    static const char *const choices[] = {
        ['j'] = "allow require", ['y'] = "no yes",        ['N'] = "none host",
        ['w'] = "ro rw",         ['x'] = "exec noexec",   ['U'] = "user root",
        ['A'] = "0 126",         ['m'] = "must optional", ['r'] = "as core cpu data fsize memlock nofile nproc stack"
    };
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
    case 'c':
        return is_class(text);
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
