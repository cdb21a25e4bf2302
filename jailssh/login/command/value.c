/* Values: is this word an integer in the range, a path below one of the roots, …  Runs after the drop. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beneath.h"
#include "path.h"
#include "repository.h"
#include "value.h"

static bool only(const char *value, const char *extra, size_t most)
{
    size_t length = strlen(value);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)value[i]) && !strchr(extra, value[i]))
            return false;
    return length >= 1 && length <= most;
}

static bool is_int(const struct value_class *range, const char *value)
{
    size_t digits = strspn(value + (*value == '-'), "0123456789");
    if (digits < 1 || digits > 17 || value[(*value == '-') + digits] != '\0')
        return false;
    long long number = strtoll(value, NULL, 10);
    return number >= range->least && number <= range->most;
}

/* rsync(1), --max-size: a number with an optional fraction, a unit, and +1 or -1 behind it. */
static bool is_size(double most, const char *value)
{
    size_t whole = strspn(value, "0123456789");
    const char *at = value + whole;
    if (whole < 1 || whole > 17)
        return false;
    if (*at == '.')
        at += 1 + strspn(at + 1, "0123456789");
    static const char units[] = "BKMGTP";
    const char *unit = *at ? strchr(units, toupper((unsigned char)*at)) : NULL;
    double number = strtod(value, NULL);
    for (const char *u = units; unit && u < unit; u++)
        number *= 1024;
    if (unit)
        at++;
    if (unit && *unit != 'B')
        at += strncasecmp(at, "iB", 2) == 0 ? 2 : toupper((unsigned char)*at) == 'B';
    if (strcmp(at, "+1") == 0 || strcmp(at, "-1") == 0)
        at += 2;
    return *at == '\0' && number <= most && at - value < 40;
}

static bool is_listed(const char *list, const char *value)
{
    size_t n = strlen(value);
    for (const char *item = list; *item; item += strcspn(item, ","), item += *item == ',')
        if (n > 0 && strcspn(item, ",") == n && strncmp(item, value, n) == 0)
            return true;
    return false;
}

static bool is_word(const char *value)
{
    return value[0] != '-' && only(value, "_.,:+@%=-", 255);
}

/* Each * of the pattern stands for any part of the word; to lengthen what the last * takes is all that can help. */
static bool is_patterned(const char *pattern, const char *value)
{
    const char *star = NULL, *taken = NULL;
    while (*pattern || *value) {
        if (*pattern == '*') {
            star = ++pattern;
            taken = value;
        } else if (*pattern == *value) {
            pattern++;
            value++;
        } else if (star && *taken) {
            pattern = star;
            value = ++taken;
        } else {
            return false;
        }
    }
    return true;
}

static bool is_capabilities(const char *value)
{
    value += strspn(value, "0123456789");
    return *value == '.' && only(*++value ? value : "a", "", 64);
}

/* rsync(1): these are relative to the operand, or to the directory that it is in. */
static bool take_relative(struct matching *m, const char *text)
{
    if (text[0] == '-' || m->relatives >= RELATIVE_MAX)
        return no_fit(m, R_VALUE_NOT_ALLOWED, "value", text);
    m->relative[m->relatives++] = text;
    return true;
}

static bool relative_stays(struct matching *m, const char *root, char *from, const char *text, bool must)
{
    char *whole = from ? path_joined(from, text) : NULL, *clean = whole ? path_canonical(whole) : NULL;
    bool known = clean && strlen(clean) < PATH_MAX;
    bool stays = known && (path_is_below(clean, root) ? path_stays_below(root, clean) : !must);
    free(clean);
    free(whole);
    free(from);
    return stays || no_fit(m, known ? R_PATH_LEAVES_ROOT : R_PATH_TOO_LONG, "value", text);
}

/* Do the options' relative values stay below ROOT, as seen from the operand at PATH and from its directory?  From above
 * the root only an operand that is the root itself is seen, and that is no file. */
static bool relatives_stay(struct matching *m, const char *root, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t above = slash && slash > path ? (size_t)(slash - path) : 1;
    for (size_t i = 0; i < m->relatives; i++)
        if (!relative_stays(m, root, strdup(path), m->relative[i], true) ||
            !relative_stays(m, root, strndup(path, above), m->relative[i], false))
            return false;
    return true;
}

static bool path_fits(struct matching *m, const struct value *value, const char **replacement)
{
    const char *text = value->text;
    char *const *home = plan_first(m->plan, OP_HOME), *const *base = rule_first(m->plan, m->rule, OP_BASE);
    bool relative = path_is_relative(text);
    char *full, *clean = value_path(m, value, &full);
    if (!clean)
        return false;
    if (relative && value->of_option)
        return take_relative(m, text);
    /* Where the program would find it anyway it goes on as it was sent: rsync's -R depends on that. */
    bool as_sent = relative && text[0] != '-' && (!base || strcmp(base[0], home[0]) == 0);
    *replacement = as_sent ? text : full;
    m->out->at_home = m->out->at_home || as_sent;
    size_t at = m->rule;
    for (char *const *root; (root = rule_next(m->plan, OP_BELOW, &at));) {
        if (!path_is_below(clean, root[0]))
            continue;
        if (m->inside && !path_stays_below(root[0], clean))
            return no_fit(m, R_PATH_LEAVES_ROOT, "path", text);
        if (m->inside && !value->of_option && !relatives_stay(m, root[0], clean))
            return false;
        if (!m->out->path)
            m->out->path = clean;
        return true;
    }
    return no_fit(m, R_PATH_OUTSIDE, "path", text);
}

bool value_fits(struct matching *m, const struct value_class *cls, const struct value *value, const char **replacement)
{
    const char *text = value->text;
    bool fits = false;
    *replacement = text;
    switch (cls->kind) {
    case CLASS_PATH:
        return path_fits(m, value, replacement);
    case CLASS_REPOSITORY:
    case CLASS_NEW_REPOSITORY:
        return repository_fits(m, value, cls->kind == CLASS_NEW_REPOSITORY, replacement);
    case CLASS_INT:
        fits = is_int(cls, text);
        break;
    case CLASS_SIZE:
        fits = is_size((double)cls->most, text);
        break;
    case CLASS_ENUM:
        fits = is_listed(cls->list, text);
        break;
    case CLASS_WORD:
        fits = is_word(text);
        break;
    case CLASS_PATTERN:
        fits = is_word(text) && is_patterned(cls->list, text);
        break;
    case CLASS_CAPABILITIES:
        fits = is_capabilities(text);
        break;
    default: /* what has no value never comes here */
        fits = cls->kind == CLASS_TEXT && strlen(text) <= 1024;
        break;
    }
    return fits || no_fit(m, R_VALUE_NOT_ALLOWED, "value", text);
}
