/* The compiled plan: one account's login program (design of the file: plan_ops.h). */
#ifndef JAILSSH_PLAN_H
#define JAILSSH_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "kind.h"
#include "plan_ops.h"
#include "run_ops.h"

enum plan_verb {
#define OP(id, verb, kinds, phase, once) OP_##id,
    PLAN_OPS(OP) RUN_OPS(OP)
#undef OP
        VERB_COUNT,
    OP_COUNT = OP_TREE /* a login has those before it, and no plan of a login has one of the others */
};

struct record {
    enum plan_verb verb;
    char *const *args;
    const struct value_class *value; /* the class among the arguments of the verbs that have one */
};

struct plan {
    uid_t uid;
    gid_t gid;
    const char *name;
    const char *serial;
    const struct record *records;
    size_t count;
    char **tokens; /* all of them, the head's too */
};

/* Parse SIZE bytes at DATA (changed in place never; the plan points into it) into a fresh plan.  Returns NULL when
 * the bytes are acceptable, else a short reason; nothing of *OUT may be used then. */
const char *plan_parse(char *data, size_t size, struct plan *out);

/* Likewise a plan of jailssh-run, which has verbs of its own beside some of a login's, and an own first word. */
const char *plan_parse_run(char *data, size_t size, struct plan *out);

/* The arguments of the first record with this verb, which is no part of a rule, or NULL. */
char *const *plan_first(const struct plan *plan, enum plan_verb verb);

/* True if a record has this verb, also one that is part of a rule. */
bool plan_has(const struct plan *plan, enum plan_verb verb);

/* True if the verb's first argument is VALUE. */
bool plan_says(const struct plan *plan, enum plan_verb verb, const char *value);

/* True for the plan of a shared account, which only says which key has which plan. */
bool plan_is_roster(const struct plan *plan);

/* The records with VERB of a rule, which stand in the order of the verbs: the first of the rule that begins at record
 * RULE; the next behind record *AT, which begins as the rule's. */
char *const *rule_next(const struct plan *plan, enum plan_verb verb, size_t *at);
char *const *rule_first(const struct plan *plan, size_t rule, enum plan_verb verb);

/* Give back what plan_parse has taken beside the plan's own bytes. */
void plan_free(const struct plan *plan);

/* A decimal or octal argument that plan_parse has checked. */
unsigned long plan_number(const char *text, int base);

/* True if PATH is ROOT or below it, by whole components; both are clean absolute paths. */
bool path_is_below(const char *path, const char *root);

#endif
