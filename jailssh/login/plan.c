/* Reading a plan.  Any doubt is a refusal: the caller never sees half a plan. */
#include "plan.h"
#include "kind.h"

#include <stdlib.h>
#include <string.h>

struct op {
    const char *name;
    const char *kinds;
    size_t arity;
    int phase;
    bool once;
};

static const struct op ops[VERB_COUNT] = {
#define OP(id, verb, kinds, phase, once) { verb, kinds, sizeof kinds - 1, phase, once },
    PLAN_OPS(OP) RUN_OPS(OP)
#undef OP
};

/* Whose plan it is: the first word, who may be told to be whom, the verbs that it can have and those that it must. */
struct format {
    const char *magic;
    unsigned long least_id;
    int first, count;
    const enum plan_verb *shared; /* of a login's verbs those that another has too, up to OP_COUNT */
    const enum plan_verb *required;
    size_t needed;
};

struct tokens {
    char **list;
    size_t count;
};

/* Records stand in the order of the table, many of one verb in a row: begin where the last one was found. */
static int find_verb(const struct format *format, const char *name, int last)
{
    for (int i = 0; i < format->count; i++)
        if (strcmp(ops[(last + i) % format->count].name, name) == 0)
            return (last + i) % format->count;
    return -1;
}

/* True if a plan of this format can have VERB. */
static bool has_verb(const struct format *format, int verb)
{
    bool found = verb >= format->first;
    for (const enum plan_verb *at = format->shared; at && !found && *at != OP_COUNT; at++)
        found = verb == (int)*at;
    return found;
}

static const char *split_tokens(char *data, size_t size, struct tokens *out)
{
    if (size == 0 || size > PLAN_MAX_SIZE || data[size - 1] != '\0')
        return "plan is truncated or too large";
    size_t count = 0;
    for (const char *at = data; at < data + size; at += strlen(at) + 1)
        count++;
    out->list = calloc(count + 1, sizeof *out->list);
    if (!out->list)
        return "no memory for the plan";
    out->count = 0;
    for (char *at = data; at < data + size; at += strlen(at) + 1)
        out->list[out->count++] = at;
    return NULL;
}

static const char *parse_head(const struct format *format, const struct tokens *tokens, struct plan *plan,
                              size_t *records)
{
    char **head = tokens->list;
    if (tokens->count < 8 || strcmp(head[0], format->magic) != 0)
        return "not a plan";
    if (strcmp(head[1], PLAN_VERSION) != 0)
        return "plan of another version";
    if (!kind_is_decimal(head[2], 10) || !kind_is_decimal(head[3], 10) || !kind_is_decimal(head[6], 10))
        return "plan with a bad number in its head";
    unsigned long uid = plan_number(head[2], 10), gid = plan_number(head[3], 10);
    if (uid < format->least_id || uid > 0x7fffffff || gid < format->least_id || gid > 0x7fffffff)
        return "plan for an impossible uid or gid";
    if (!kind_is_account(head[4]))
        return "plan with a bad account name";
    if (strlen(head[5]) != 16 || strspn(head[5], "0123456789abcdef") != 16)
        return "plan with a bad serial";
    *records = plan_number(head[6], 10);
    if (*records > PLAN_MAX_RECORDS)
        return "plan with too many records";
    plan->uid = (uid_t)uid;
    plan->gid = (gid_t)gid;
    plan->name = head[4];
    plan->serial = head[5];
    return NULL;
}

static const char *check_order(int verb, bool *seen, int *phase)
{
    if (verb == OP_RULE)
        for (int other = 0; other < VERB_COUNT; other++)
            seen[other] = seen[other] && ops[other].phase < PLAN_RULE_PHASE;
    else if (ops[verb].phase < *phase)
        return "plan with a record out of order";
    if (ops[verb].phase > PLAN_RULE_PHASE && *phase < PLAN_RULE_PHASE)
        return "plan with a part of a rule outside a rule";
    if (ops[verb].once && seen[verb])
        return "plan with a duplicate record";
    seen[verb] = true;
    *phase = ops[verb].phase;
    return NULL;
}

static const char *parse_records(const struct format *format, const struct tokens *tokens, size_t count,
                                 struct record *records, struct value_class *classes)
{
    bool seen[VERB_COUNT] = { false };
    int phase = 0, verb = 0;
    size_t at = 7, groups = 0;
    for (size_t i = 0; i < count; i++) {
        verb = at < tokens->count ? find_verb(format, tokens->list[at], verb) : -1;
        if (verb < 0 || !has_verb(format, verb))
            return "plan with an unknown verb";
        size_t arity = ops[verb].arity;
        if (arity >= tokens->count - at)
            return "plan is truncated";
        records[i] = (struct record){ (enum plan_verb)verb, tokens->list + at + 1, NULL };
        for (size_t arg = 0; arg < arity; arg++) {
            char kind = ops[verb].kinds[arg], *text = records[i].args[arg];
            if (kind == 'c' ? !class_parse(text, &classes[i]) : !kind_fits(kind, text))
                return "plan with a bad argument";
            records[i].value = kind == 'c' ? &classes[i] : records[i].value;
        }
        const char *why = check_order(verb, seen, &phase);
        if (why)
            return why;
        groups += verb == OP_GROUP;
        at += 1 + arity;
    }
    if (groups > PLAN_MAX_GROUPS)
        return "plan with too many groups";
    if (at + 1 != tokens->count || strcmp(tokens->list[at], "end") != 0)
        return "plan does not end where it should";
    return NULL;
}

/* Where a record of the jail's file system stands, or NULL. */
static const char *place_of(const struct record *record)
{
    if (record->verb == OP_BIND)
        return record->args[1];
    return record->verb == OP_TMPFS || record->verb == OP_DIR || record->verb == OP_FILE ? record->args[0] : NULL;
}

/* A mount below a directory that the user can change could be redirected: the reader takes none. */
static const char *check_mounts(const struct plan *plan)
{
    for (size_t i = 0; i < plan->count && plan->records[i].verb <= OP_BIND; i++) {
        const struct record *above = &plan->records[i];
        bool writable = (above->verb == OP_BIND && strcmp(above->args[2], "rw") == 0) ||
                        (above->verb == OP_TMPFS && strcmp(above->args[3], "rw") == 0);
        for (size_t later = i + 1; writable && later < plan->count && plan->records[later].verb <= OP_BIND; later++) {
            const char *place = place_of(&plan->records[later]);
            if (place && path_is_below(place, place_of(above)))
                return "plan with a mount below one that the user can change";
        }
    }
    return NULL;
}

static const char *parse(const struct format *format, char *data, size_t size, struct plan *out)
{
    enum { OF_ROSTER = 2 };
    struct tokens tokens = { NULL, 0 };
    struct plan plan = { 0 };
    size_t count = 0;
    struct record *records = NULL;
    const char *why = split_tokens(data, size, &tokens);
    if (!why)
        why = parse_head(format, &tokens, &plan, &count);
    if (!why && !(records = calloc(count + 1, sizeof *records + sizeof(struct value_class))))
        why = "no memory for the plan";
    if (!why) /* the classes stand behind the records */
        why = parse_records(format, &tokens, count, records, (struct value_class *)(records + count + 1));
    if (!why) {
        plan.records = records;
        plan.count = count;
        plan.tokens = tokens.list;
        size_t needed = plan_is_roster(&plan) ? OF_ROSTER : format->needed;
        for (size_t i = 0; i < needed; i++)
            if (!plan_first(&plan, format->required[i]))
                why = "plan that lacks a required record";
        why = why ? why : check_mounts(&plan);
    }
    if (why) {
        free(records);
        free(tokens.list);
        return why;
    }
    *out = plan;
    return NULL;
}

const char *plan_parse(char *data, size_t size, struct plan *out)
{
    static const enum plan_verb required[] = { OP_JAIL, OP_MESSAGE, OP_HOME,    OP_NET,
                                               OP_PTY,  OP_IMAGE,   OP_SECCOMP, OP_RULE };
    static const struct format format = {
        PLAN_MAGIC, 1, 0, OP_COUNT, NULL, required, sizeof required / sizeof *required
    };
    return parse(&format, data, size, out);
}

const char *plan_parse_run(char *data, size_t size, struct plan *out)
{
    static const enum plan_verb shared[] = { OP_JAIL,  OP_HOME,   OP_NET,   OP_HOSTNAME, OP_PTY, OP_DEV,     OP_PROC,
                                             OP_GROUP, OP_RLIMIT, OP_UMASK, OP_NICE,     OP_ENV, OP_SECCOMP, OP_COUNT };
    static const enum plan_verb required[] = { OP_JAIL, OP_HOME, OP_NET, OP_PTY, OP_TREE, OP_ARGUMENT };
    static const struct format format = {
        RUN_MAGIC, 0, OP_COUNT, VERB_COUNT, shared, required, sizeof required / sizeof *required
    };
    const char *why = parse(&format, data, size, out);
    /* Nothing weaker by leaving something out: who has no filter says so. */
    return why || plan_first(out, OP_SECCOMP) || plan_first(out, OP_PRIVILEGED) ? why : "plan without a filter";
}

void plan_free(const struct plan *plan)
{
    free((void *)plan->records);
    free(plan->tokens);
}

char *const *plan_first(const struct plan *plan, enum plan_verb verb)
{
    for (size_t i = 0; i < plan->count; i++) {
        if (plan->records[i].verb == verb)
            return plan->records[i].args;
        if (plan->records[i].verb == OP_RULE)
            break; /* behind the first rule are only rules */
    }
    return NULL;
}

char *const *rule_next(const struct plan *plan, enum plan_verb verb, size_t *at)
{
    const struct record *end = plan->records + plan->count, *record = plan->records + *at + 1;
    while (record < end && record->verb < verb && record->verb != OP_RULE)
        record++;
    if (record == end || record->verb != verb)
        return NULL;
    *at = (size_t)(record - plan->records);
    return record->args;
}

char *const *rule_first(const struct plan *plan, size_t rule, enum plan_verb verb)
{
    size_t at = rule;
    return rule_next(plan, verb, &at);
}

bool plan_has(const struct plan *plan, enum plan_verb verb)
{
    for (size_t i = 0; i < plan->count; i++)
        if (plan->records[i].verb == verb)
            return true;
    return false;
}

bool plan_is_roster(const struct plan *plan)
{
    return plan_first(plan, OP_KEY) || plan_first(plan, OP_AUTHORITY);
}

bool plan_says(const struct plan *plan, enum plan_verb verb, const char *value)
{
    char *const *args = plan_first(plan, verb);
    return args && strcmp(args[0], value) == 0;
}

unsigned long plan_number(const char *text, int base)
{
    return strtoul(text, NULL, base);
}

bool path_is_below(const char *path, const char *root)
{
    size_t n = strlen(root);
    if (n == 1)
        return true;
    return strncmp(path, root, n) == 0 && (path[n] == '\0' || path[n] == '/');
}
