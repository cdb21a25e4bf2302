/* The plan reader: any bytes.  What it accepts says, written again, the same bytes. */
#include "fuzz.h"

static const struct {
    const char *verb;
    size_t arity;
} verbs[] = {
#define OP(id, verb, kinds, phase, once) { verb, sizeof kinds - 1 },
    PLAN_OPS(OP)
#undef OP
};

struct rest {
    const char *at;
    const char *end;
};

static void same_token(struct rest *rest, const char *token)
{
    size_t size = strlen(token) + 1;
    HOLDS((size_t)(rest->end - rest->at) >= size);
    HOLDS(memcmp(rest->at, token, size) == 0);
    rest->at += size;
}

static void same_number(struct rest *rest, unsigned long number)
{
    char text[24];
    snprintf(text, sizeof text, "%lu", number);
    same_token(rest, text);
}

static void same_bytes(const struct plan *plan, const char *data, size_t size)
{
    struct rest rest = { data, data + size };
    same_token(&rest, PLAN_MAGIC);
    same_token(&rest, PLAN_VERSION);
    same_number(&rest, plan->uid);
    same_number(&rest, plan->gid);
    same_token(&rest, plan->name);
    same_token(&rest, plan->serial);
    same_number(&rest, plan->count);
    for (size_t i = 0; i < plan->count; i++) {
        same_token(&rest, verbs[plan->records[i].verb].verb);
        for (size_t arg = 0; arg < verbs[plan->records[i].verb].arity; arg++)
            same_token(&rest, plan->records[i].args[arg]);
    }
    same_token(&rest, "end");
    HOLDS(rest.at == rest.end);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char *copy = copy_of(data, size);
    struct plan plan;
    const char *why = plan_parse(copy, size, &plan);
    HOLDS(!size || memcmp(copy, data, size) == 0);
    if (!why) {
        HOLDS(plan.uid != 0 && plan.gid != 0 && plan.count <= PLAN_MAX_RECORDS);
        same_bytes(&plan, copy, size);
        plan_free(&plan);
    }
    free(copy);
    return 0;
}
