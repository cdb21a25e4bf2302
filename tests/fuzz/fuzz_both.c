/* The matcher with any plan that the reader accepts: the plan, and behind its last NUL the command. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    size_t end = size;
    while (end > 0 && data[end - 1] != '\0')
        end--;
    char *bytes = copy_of(data, end), *command = string_of(data + end, size - end);
    struct plan plan;
    if (!plan_parse(bytes, end, &plan)) {
        judge(&plan, *command ? command : NULL, false);
        plan_free(&plan);
    }
    free(command);
    free(bytes);
    return 0;
}
