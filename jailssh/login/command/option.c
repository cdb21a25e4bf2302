/* Options: clusters of letters, long options by their exact names, their values.  Runs after the drop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "option.h"
#include "request.h"
#include "value.h"

/* The options of a command: how often each letter, and the long ones as they were sent behind their dashes. */
struct given {
    unsigned letters[256];
    const char *longs[WORDS_MAX];
    size_t count;
};

/* The class that belongs to an option's NAME of N bytes, or NULL. */
static const struct value_class *class_of(struct matching *m, enum plan_verb verb, const char *name, size_t n)
{
    size_t at = m->rule;
    for (char *const *args; (args = rule_next(m->plan, verb, &at));)
        if (strncmp(args[0], name, n) == 0 && args[0][n] == '\0')
            return m->plan->records[at].value;
    return NULL;
}

/* A value that is the next word, taken and pushed; *INDEX moves on. */
static bool next_value(struct matching *m, const struct value_class *cls, size_t *index)
{
    const char *replacement;
    if (*index + 1 >= m->words->count)
        return no_fit(m, R_VALUE_MISSING, "option", m->words->list[*index].text);
    struct word *word = &m->words->list[++*index];
    return value_fits(m, cls, &(struct value){ word->text, word->tilde, true }, &replacement) &&
           match_push(m, replacement);
}

static bool take_long(struct matching *m, size_t *index, struct given *given)
{
    const char *text = m->words->list[*index].text, *name = text + 2;
    size_t n = strcspn(name, "=");
    const struct value_class *cls = class_of(m, OP_LONG, name, n);
    const char *replacement;
    if (!cls)
        return no_fit(m, R_OPTION_NOT_ALLOWED, "option", text);
    given->longs[given->count++] = name;
    bool flag = cls->kind == CLASS_FLAG;
    if (flag && name[n] == '=')
        return no_fit(m, R_VALUE_NOT_ALLOWED, "option", text);
    if (flag || name[n] == '\0')
        return match_push(m, text) && (flag || next_value(m, cls, index));
    if (!value_fits(m, cls, &(struct value){ name + n + 1, false, true }, &replacement))
        return false;
    if (replacement == name + n + 1)
        return match_push(m, text);
    size_t size = n + strlen(replacement) + 4;
    char *whole = malloc(size);
    if (!whole)
        return no_fit(m, R_NO_MEMORY, "option", "");
    snprintf(whole, size, "--%.*s=%s", (int)n, name, replacement);
    return match_push(m, whole);
}

static bool take_cluster(struct matching *m, size_t *index, struct given *given)
{
    const char *text = m->words->list[*index].text, *replacement;
    char *const *letters = rule_first(m->plan, m->rule, OP_LETTERS);
    for (const char *letter = text + 1; *letter; letter++) {
        const struct value_class *tail = class_of(m, OP_TAIL, letter, 1), *cls = class_of(m, OP_SHORT, letter, 1);
        given->letters[(unsigned char)*letter]++;
        if (tail)
            return value_fits(m, tail, &(struct value){ letter + 1, false, true }, &replacement) && match_push(m, text);
        if (cls && letter[1] == '\0')
            return match_push(m, text) && next_value(m, cls, index);
        if (cls) { /* glued: -B1024; a path may have been completed, so it goes on in a word of its own */
            if (!value_fits(m, cls, &(struct value){ letter + 1, false, true }, &replacement))
                return false;
            if (replacement == letter + 1)
                return match_push(m, text);
            char *head = strndup(text, (size_t)(letter + 1 - text));
            return head && match_push(m, head) && match_push(m, replacement);
        }
        if (!letters || !strchr(letters[0], *letter))
            return no_fit(m, R_OPTION_NOT_ALLOWED, "option", text);
    }
    return match_push(m, text);
}

static size_t times_long(const struct given *given, const char *name)
{
    size_t n = strlen(name), times = 0;
    for (size_t i = 0; i < given->count; i++)
        times += strncmp(given->longs[i], name, n) == 0 && strchr("=", given->longs[i][n]);
    return times;
}

static bool no_option(struct matching *m, enum reason reason, const char *dashes, const char *name)
{
    char text[256];
    snprintf(text, sizeof text, "%s%s", dashes, name);
    return no_fit(m, reason, "option", text);
}

/* Are all that the rule needs there, and those that it takes once no oftener? */
static bool are_enough(struct matching *m, const struct given *given)
{
    char *const *need = rule_first(m->plan, m->rule, OP_NEED), *const * args;
    for (const char *letter = need ? need[0] : ""; *letter; letter++)
        if (!given->letters[(unsigned char)*letter])
            return no_option(m, R_OPTION_MISSING, "-", (char[]){ *letter, '\0' });
    for (size_t at = m->rule; (args = rule_next(m->plan, OP_NEED_LONG, &at));)
        if (times_long(given, args[0]) == 0)
            return no_option(m, R_OPTION_MISSING, "--", args[0]);
    for (size_t at = m->rule; (args = rule_next(m->plan, OP_ONCE, &at));) {
        bool letter = args[0][1] == '\0';
        if (times_long(given, args[0]) + (letter ? given->letters[(unsigned char)args[0][0]] : 0) > 1)
            return no_option(m, R_OPTION_TWICE, letter ? "-" : "--", args[0]);
    }
    return true;
}

bool match_options(struct matching *m, size_t *index)
{
    char *const *mark = rule_first(m->plan, m->rule, OP_MARK);
    struct given given = { 0 };
    bool marked = false;
    for (; *index < m->words->count && !marked; ++*index) {
        const char *text = m->words->list[*index].text;
        if (mark && strcmp(text, mark[0]) == 0) {
            marked = true;
        } else if (strcmp(text, "--") == 0) {
            if (!rule_first(m->plan, m->rule, OP_DASHDASH))
                return no_fit(m, R_OPTION_NOT_ALLOWED, "option", text);
            ++*index;
            break;
        } else if (text[0] != '-' || text[1] == '\0') {
            break;
        } else if (text[1] == '-' ? !take_long(m, index, &given) : !take_cluster(m, index, &given)) {
            return false;
        }
    }
    if (!are_enough(m, &given) || !match_push_all(m, OP_INSERT))
        return false;
    return !mark || (marked ? match_push(m, mark[0]) : no_fit(m, R_WORD_MISSING, "word", mark[0]));
}
