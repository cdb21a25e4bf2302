/* The matcher with the plans of the shipped plugins and one of a tree that is there: a byte that chooses the plan (its
 * highest bit: inside, so that paths are looked up), then the command. */
#include "fuzz.h"
#include "plans.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct plan plans[sizeof plan_bytes / sizeof *plan_bytes];
    for (size_t i = 0; !plans[i].records; i++) {
        HOLDS(!plan_parse(copy_of(plan_bytes[i].data, plan_bytes[i].size), plan_bytes[i].size, &plans[i]));
        if (i + 1 == sizeof plans / sizeof *plans)
            break;
    }
    if (size == 0)
        return 0;
    char *command = string_of(data + 1, size - 1);
    const struct plan *plan = &plans[(data[0] & 0x7f) % (sizeof plans / sizeof *plans)];
    judge(plan, size == 1 ? NULL : command, data[0] & 0x80);
    free(command);
    return 0;
}
