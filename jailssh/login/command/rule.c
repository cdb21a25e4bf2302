/* What every judge of a rule needs.  Runs after the drop. */
#include "rule.h"

#include <string.h>

bool no_fit(struct matching *m, enum reason reason, const char *what, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    char *at = stpcpy(m->out->detail, what), *end = m->out->detail + sizeof m->out->detail - 6;
    for (*at++ = ' '; *text && at < end; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c < 0x7f) {
            *at++ = *text;
            continue;
        }
        *at++ = '\\';
        *at++ = 'x';
        *at++ = digits[c >> 4];
        *at++ = digits[c & 15];
    }
    *at = '\0';
    m->out->reason = reason;
    return false;
}

bool match_push(struct matching *m, const char *word)
{
    if (m->out->argc >= sizeof m->out->argv / sizeof *m->out->argv - 1)
        return no_fit(m, R_TOO_MANY_WORDS, "word", word);
    m->out->argv[m->out->argc++] = word;
    return true;
}

bool match_push_all(struct matching *m, enum plan_verb verb)
{
    size_t at = m->rule;
    for (char *const *args; (args = rule_next(m->plan, verb, &at));)
        if (!match_push(m, args[0]))
            return false;
    return true;
}
