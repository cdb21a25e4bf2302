/* The compiled plan: one account's login program (design of the file: plan_ops.h). */
#ifndef JAILSSH_PLAN_H
#define JAILSSH_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "plan_ops.h"

enum plan_verb {
#define OP(id, verb, kinds, phase, once) OP_##id,
    PLAN_OPS(OP)
#undef OP
        OP_COUNT
};

struct record {
    enum plan_verb verb;
    char *const *args;
};

struct plan {
    uid_t uid;
    gid_t gid;
    const char *name;
    const char *serial;
    const struct record *records;
    size_t count;
};

/* Parse SIZE bytes at DATA (changed in place never; the plan points into it) into a fresh plan.  Returns NULL when
 * the bytes are acceptable, else a short reason; nothing of *OUT may be used then. */
const char *plan_parse(char *data, size_t size, struct plan *out);

/* The arguments of the first record with this verb, which is no part of a rule, or NULL. */
char *const *plan_first(const struct plan *plan, enum plan_verb verb);

/* True if the verb's first argument is VALUE. */
bool plan_says(const struct plan *plan, enum plan_verb verb, const char *value);

/* True for the plan of a shared account, which only says which key has which plan. */
bool plan_is_roster(const struct plan *plan);

/* Kinds of tokens: does TEXT fit KIND, a letter of plan_ops.h; is it a number of at most MOST digits, a login name? */
bool kind_fits(char kind, const char *text);
bool kind_is_decimal(const char *text, size_t most);
bool kind_is_account(const char *name);

/* A decimal or octal argument that plan_parse has checked. */
unsigned long plan_number(const char *text, int base);

/* True if PATH is ROOT or below it, by whole components; both are clean absolute paths. */
bool path_is_below(const char *path, const char *root);

#endif
