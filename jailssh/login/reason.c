#include "reason.h"

#include <stdlib.h>

static const struct {
    const char *code;
    enum audience audience;
    int priority;
} reasons[REASON_COUNT] = { [R_NONE] = { "", TELL_NOTHING, 4 },
#define X(identifier, code, audience, priority) [R_##identifier] = { code, audience, priority },
                            REASONS(X)
#undef X
};

const char *reason_code(enum reason reason)
{
    return reasons[reason].code;
}

enum audience reason_audience(enum reason reason)
{
    return reasons[reason].audience;
}

int reason_priority(enum reason reason)
{
    return reasons[reason].priority;
}

enum reason reason_of(const char *text)
{
    unsigned long number = strtoul(text, NULL, 10);
    return number > R_NONE && number < REASON_COUNT ? (enum reason)number : R_SETUP;
}
