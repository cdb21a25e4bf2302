/* The matcher: the only code that decides about a command.  Runs after the drop, inside the jail. */
#include "match.h"
#include "request.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "option.h"
#include "pattern.h"
#include "value.h"

/* How many words of the command the spelling TEXT (one or two words) takes, or 0. */
static size_t spelled(const struct words *words, const char *text)
{
    const char *blank = strchr(text, ' ');
    size_t n = blank ? (size_t)(blank - text) : strlen(text);
    const char *first = words->list[0].text;
    if (words->list[0].tilde || strlen(first) != n || memcmp(first, text, n) != 0)
        return 0;
    if (!blank)
        return 1;
    return words->count > 1 && strcmp(words->list[1].text, blank + 1) == 0 ? 2 : 0;
}

static size_t first_words(struct matching *m)
{
    size_t at = m->rule, taken = 0;
    for (char *const *args; !taken && (args = rule_next(m->plan, OP_WORD, &at));)
        taken = spelled(m->words, args[0]);
    return taken;
}

struct operands {
    char *const *all;          /* least, most, class of those without their own; NULL: the rule takes none */
    bool ended;                /* no program would take what follows for an option */
    bool named;                /* the next one may have a class of its own: the record after OWN */
    size_t count, own, all_at; /* records, of OWN and ALL */
    struct names names;
};

static bool take_operand(struct matching *m, struct operands *o, const char *text, bool tilde)
{
    char *const *own = o->named ? rule_next(m->plan, OP_OPERAND, &o->own) : NULL;
    const struct value_class *cls = m->plan->records[own ? o->own : o->all_at].value;
    const char *replacement;
    o->named = own != NULL;
    o->count++;
    /* A program that sorts its arguments would take it for an option; a path is sent on with a slash in front. */
    if (!o->ended && text[0] == '-' && text[1] && cls->kind != CLASS_PATH)
        return no_fit(m, R_OPTION_NOT_ALLOWED, "option", text);
    return value_fits(m, cls, &(struct value){ text, tilde, false }, &replacement) && match_push(m, replacement);
}

/* Expand one operand inside the jail; each name found is judged like a name that was sent. */
static bool take_glob(struct matching *m, struct operands *o, const struct word *word)
{
    char *const *home = plan_first(m->plan, OP_HOME), *const *base = rule_first(m->plan, m->rule, OP_BASE);
    if (word->tilde || pattern_goes_up(word->text))
        return no_fit(m, word->tilde ? R_PATTERN_NOT_ALLOWED : R_PATH_DOTDOT, "pattern", word->text);
    if (!m->inside || chdir(base ? base[0] : home[0]) != 0)
        return take_operand(m, o, word->text, false);
    if (!pattern_find(word->pattern, &o->names))
        return no_fit(m, R_TOO_MANY_WORDS, "pattern", word->text);
    for (size_t i = 0; i < o->names.count; i++)
        if (!take_operand(m, o, o->names.list[i], false))
            return false;
    return o->names.count > 0 || take_operand(m, o, word->text, false);
}

/* Take the operands from word INDEX on; OPTIONS words of the argument vector came before the options. */
static bool take_operands(struct matching *m, size_t index, size_t options)
{
    struct operands o = { .named = true, .own = m->rule, .all_at = m->rule, .names.looks = LOOKS_MAX };
    o.all = rule_next(m->plan, OP_OPERANDS, &o.all_at);
    bool globs = rule_first(m->plan, m->rule, OP_GLOB) != NULL;
    bool own = m->out->argc == options || rule_first(m->plan, m->rule, OP_INSERT); /* no option's value is last */
    o.ended = rule_first(m->plan, m->rule, OP_MARK) || (own && strcmp(m->out->argv[m->out->argc - 1], "--") == 0);
    for (; index < m->words->count; index++) {
        struct word *word = &m->words->list[index];
        if (!o.all)
            return no_fit(m, R_OPERAND_NOT_ALLOWED, "operand", word->text);
        if (word->glob && globs ? !take_glob(m, &o, word) : !take_operand(m, &o, word->text, word->tilde))
            return false;
    }
    if (o.all && (o.count < plan_number(o.all[0], 10) || o.count > plan_number(o.all[1], 10)))
        return no_fit(m, R_OPERAND_COUNT, "operands", o.count ? "too many or too few" : "none given");
    return true;
}

/* How far a rule came: not even its first word, its words, its options, its operands. */
enum { NOT_ITS_WORD, IN_WORDS, IN_PATTERN, IN_OPTIONS, IN_OPERANDS, MATCHED };

static int try_rule(struct matching *m)
{
    size_t index = first_words(m), at = m->rule;
    if (index == 0)
        return NOT_ITS_WORD;
    for (char *const *args; (args = rule_next(m->plan, OP_LITERAL, &at)); index++)
        if (index >= m->words->count || strcmp(m->words->list[index].text, args[0]) != 0) {
            no_fit(m, R_WORD_MISSING, "word", args[0]);
            return IN_WORDS;
        }
    char *const *argv0 = rule_first(m->plan, m->rule, OP_ARGV0);
    if (!match_push(m, argv0 ? argv0[0] : m->out->program) || !match_push_all(m, OP_FIXED) ||
        !match_push_all(m, OP_LITERAL))
        return IN_WORDS;
    if (rule_first(m->plan, m->rule, OP_IGNORE_REST))
        return match_push_all(m, OP_INSERT) ? MATCHED : IN_WORDS;
    for (size_t i = 0; i < m->words->count && !rule_first(m->plan, m->rule, OP_GLOB); i++)
        if (m->words->list[i].glob) {
            no_fit(m, R_SHELL_METACHARACTER, "pattern", m->words->list[i].text);
            return IN_PATTERN;
        }
    size_t options = m->out->argc;
    if (!match_options(m, &index))
        return IN_OPTIONS;
    return take_operands(m, index, options) ? MATCHED : IN_OPERANDS;
}

static void begin(struct matching *m, size_t rule)
{
    char *const *args = m->plan->records[rule].args;
    m->rule = rule;
    m->relatives = 0;
    m->out->rule = args[0];
    m->out->plugin = args[1];
    m->out->program = args[2];
    m->out->rule_index = rule;
    m->out->reason = R_COMMAND_NOT_ALLOWED;
    m->out->detail[0] = '\0';
    m->out->path = NULL;
    m->out->argc = 0;
    m->out->at_home = false;
}

/* What a rule says that has the answer itself: true, or a denial whose detail is for the user. */
static bool settle(struct matching *m)
{
    char *const *answer = rule_first(m->plan, m->rule, OP_ANSWER);
    if (!answer)
        return true;
    m->out->answered = true;
    m->out->argc = 0;
    m->out->reason = R_NOT_SERVED;
    snprintf(m->out->detail, sizeof m->out->detail, "%s", answer[1]);
    return plan_number(answer[0], 10) == 0;
}

/* The rule of the one-word spelling "*" takes any command whole: what a shell account means. */
static bool takes_all(const struct plan *plan, size_t rule)
{
    char *const *word = rule_first(plan, rule, OP_WORD);
    return word && strcmp(word[0], "*") == 0;
}

static bool whole_command(struct matching *m, const char *command)
{
    for (size_t rule = 0; rule < m->plan->count; rule++) {
        if (m->plan->records[rule].verb != OP_RULE || !takes_all(m->plan, rule))
            continue;
        begin(m, rule);
        char *const *argv0 = rule_first(m->plan, rule, OP_ARGV0);
        return match_push(m, argv0 ? argv0[0] : m->out->program) && match_push_all(m, OP_FIXED) &&
               match_push(m, command);
    }
    return false;
}

static bool interactive(struct matching *m)
{
    for (size_t rule = 0; rule < m->plan->count; rule++)
        if (m->plan->records[rule].verb == OP_RULE && rule_first(m->plan, rule, OP_INTERACTIVE)) {
            begin(m, rule);
            m->out->interactive = true;
            char *const *argv0 = rule_first(m->plan, rule, OP_ARGV0);
            return match_push(m, argv0 ? argv0[0] : m->out->program) && match_push_all(m, OP_FIXED) && settle(m);
        }
    m->out->reason = R_NOT_INTERACTIVE;
    return false;
}

/* Try each rule; what is left in the verdict of a denial is from the rule that came furthest. */
static bool by_rules(struct matching *m)
{
    struct {
        int reached;
        size_t rule;
        enum reason reason;
        char detail[sizeof m->out->detail];
    } best = { 0, 0, R_NONE, "" };
    for (size_t rule = 0; rule < m->plan->count; rule++) {
        if (m->plan->records[rule].verb != OP_RULE || takes_all(m->plan, rule))
            continue;
        begin(m, rule);
        int came = try_rule(m);
        if (came == MATCHED)
            return settle(m);
        char *const *answer = rule_first(m->plan, rule, OP_ANSWER);
        if (came <= best.reached || (answer && plan_number(answer[0], 10) != 0))
            continue; /* no command is nearly one that would be denied too */
        best.reached = came;
        best.rule = rule;
        best.reason = m->out->reason;
        memcpy(best.detail, m->out->detail, sizeof best.detail);
    }
    m->out->argc = 0;
    m->out->rule = m->out->plugin = "";
    if (best.reached == 0)
        return no_fit(m, R_COMMAND_NOT_ALLOWED, "command", m->words->list[0].text);
    begin(m, best.rule);
    m->out->reason = best.reason;
    memcpy(m->out->detail, best.detail, sizeof best.detail);
    return false;
}

/* Words that end at a character which is never allowed: a rule that answers them denies them with its own sentence. */
static bool explained(struct matching *m)
{
    for (size_t rule = 0; m->words->count > 0 && rule < m->plan->count; rule++) {
        if (m->plan->records[rule].verb != OP_RULE || !rule_first(m->plan, rule, OP_ANSWER))
            continue;
        begin(m, rule);
        if (try_rule(m) == MATCHED && !settle(m))
            return true;
    }
    m->out->answered = false;
    m->out->rule = m->out->plugin = "";
    return false;
}

void match_request(const struct plan *plan, const char *command, bool inside, struct verdict *out)
{
    static struct words words;
    static char buffer[4 * REQUEST_MAX];
    struct matching m = { .plan = plan, .inside = inside, .words = &words, .out = out };
    out->interactive = out->answered = out->at_home = false;
    out->rule = out->plugin = "";
    out->reason = R_COMMAND_NOT_ALLOWED;
    out->detail[0] = '\0';
    out->path = NULL;
    out->argc = 0;
    if (!command) {
        out->allowed = interactive(&m);
        return;
    }
    enum reason why = request_split(command, &words, buffer);
    bool too_long = why == R_COMMAND_TOO_LONG;
    out->allowed = (!why && by_rules(&m)) || (!out->answered && !too_long && whole_command(&m, command));
    if (why && !out->allowed && !explained(&m))
        no_fit(&m, why, "character", words.at_fault);
}
