/* Memory that runs out: the allocation whose number SCARCE says fails.  The sources under test are compiled to take
 * their memory here. */
#include <stdlib.h>
#include <string.h>

void *scarce_malloc(size_t size);
void *scarce_calloc(size_t count, size_t size);
char *scarce_strdup(const char *text);
char *scarce_strndup(const char *text, size_t size);

static int failed(void)
{
    static int left = -1;
    if (left < 0)
        left = atoi(getenv("SCARCE"));
    return left > 0 && --left == 0;
}

void *scarce_malloc(size_t size)
{
    return failed() ? NULL : malloc(size);
}

void *scarce_calloc(size_t count, size_t size)
{
    return failed() ? NULL : calloc(count, size);
}

char *scarce_strdup(const char *text)
{
    return failed() ? NULL : strdup(text);
}

char *scarce_strndup(const char *text, size_t size)
{
    return failed() ? NULL : strndup(text, size);
}
