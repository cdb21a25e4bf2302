/* What is executed is read again, in another way than the matcher reads what was sent: each option and operand. */
#include "fuzz.h"

static bool equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* The class of the operand in this place, the first being 0. */
static const char *class_of(const struct plan *plan, size_t rule, size_t place)
{
    size_t at = rule;
    char *const *own = rule_next(plan, OP_OPERAND, &at);
    for (; own && place > 0; place--)
        own = rule_next(plan, OP_OPERAND, &at);
    char *const *operands = rule_first(plan, rule, OP_OPERANDS);
    return own ? own[0] : operands ? operands[2] : "";
}

/* The class that belongs to an option's NAME of N bytes, or NULL. */
static const char *value_of(const struct plan *plan, size_t rule, enum plan_verb verb, const char *name, size_t n)
{
    size_t at = rule;
    for (char *const *args; (args = rule_next(plan, verb, &at));)
        if (strlen(args[0]) == n && memcmp(args[0], name, n) == 0)
            return args[1];
    return NULL;
}

/* How often the option NAME is given in WORD.  *VALUE: its value, or another option's, is the next word. */
static size_t times_in(const struct plan *plan, size_t rule, const char *word, const char *name, bool *value)
{
    size_t times = 0, n = strcspn(word, "=");
    *value = false;
    if (word[1] == '-') {
        const char *cls = value_of(plan, rule, OP_LONG, word + 2, n - 2);
        HOLDS(cls && equal(cls, "flag") <= (word[n] == '\0'));
        *value = word[n] == '\0' && !equal(cls, "flag");
        return strlen(name) == n - 2 && memcmp(name, word + 2, n - 2) == 0;
    }
    for (word++; *word; word++) {
        times += name[0] == *word && name[1] == '\0';
        if (value_of(plan, rule, OP_TAIL, word, 1))
            return times;
        *value = value_of(plan, rule, OP_SHORT, word, 1) && word[1] == '\0';
        if (value_of(plan, rule, OP_SHORT, word, 1))
            return times;
    }
    return times;
}

/* How often the option NAME is given in what is executed; *END is behind the options. */
static size_t times(const struct plan *plan, const struct verdict *verdict, const char *name, size_t *end)
{
    size_t rule = verdict->rule_index, at = rule, count = 0;
    char *const *mark = rule_first(plan, rule, OP_MARK);
    *end = 1;
    while (rule_next(plan, OP_FIXED, &at))
        ++*end;
    for (at = rule; rule_next(plan, OP_LITERAL, &at);)
        ++*end;
    for (bool value = false; *end < verdict->argc; ++*end) {
        const char *word = verdict->argv[*end];
        if (value) {
            value = false;
            continue;
        }
        if (word[0] != '-' || word[1] == '\0' || (mark && equal(word, mark[0])))
            break;
        count += times_in(plan, rule, word, name, &value);
    }
    *end += mark != NULL;
    return count;
}

/* What is executed, read again from its first option on.  What the rule inserts, and its own "--", look like the
 * client's. */
void check_options(const struct plan *plan, const struct verdict *verdict)
{
    size_t rule = verdict->rule_index, end, at;
    char *const *operands = rule_first(plan, rule, OP_OPERANDS), *const *need = rule_first(plan, rule, OP_NEED),
                *const * args;
    if (rule_first(plan, rule, OP_INSERT) || rule_has(plan, rule, OP_FIXED, "--") ||
        rule_has(plan, rule, OP_LITERAL, "--"))
        return;
    times(plan, verdict, "", &end);
    HOLDS(end <= verdict->argc);
    size_t count = verdict->argc - end;
    HOLDS(operands ? count >= plan_number(operands[0], 10) && count <= plan_number(operands[1], 10) : count == 0);
    for (size_t i = 0; i < count; i++) {
        const char *word = verdict->argv[end + i];
        HOLDS(word[0] != '-' || word[1] == '\0' || rule_first(plan, rule, OP_MARK));
        check_operand(plan, rule, class_of(plan, rule, i), word);
    }
    for (const char *letter = need ? need[0] : ""; *letter; letter++)
        HOLDS(times(plan, verdict, (char[]){ *letter, '\0' }, &end) > 0);
    for (at = rule; (args = rule_next(plan, OP_NEED_LONG, &at));)
        HOLDS(times(plan, verdict, args[0], &end) > 0);
    for (at = rule; (args = rule_next(plan, OP_ONCE, &at));)
        HOLDS(times(plan, verdict, args[0], &end) < 2);
}
