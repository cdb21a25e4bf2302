/* The sources under test are compiled to take their memory here, so that what they never give back can be given back:
 * they run once to a process, here many thousand times. */
#include "fuzz.h"

#include <stdint.h>

void *noted_malloc(size_t size);
char *noted_strdup(const char *text);
char *noted_strndup(const char *text, size_t size);
void noted_free(void *memory);
bool noted_pattern_find(const char *pattern, struct names *names);

static void *taken[1 << 17];
static size_t takings;
static size_t most = SIZE_MAX;

static void *note(void *memory)
{
    HOLDS(memory && takings < sizeof taken / sizeof *taken);
    return taken[takings++] = memory;
}

void bound_each_taking(size_t size)
{
    most = size;
}

void *noted_malloc(size_t size)
{
    HOLDS(size <= most);
    return note(malloc(size));
}

char *noted_strdup(const char *text)
{
    HOLDS(strlen(text) < most);
    return note(strdup(text));
}

char *noted_strndup(const char *text, size_t size)
{
    return note(strndup(text, size));
}

void noted_free(void *memory)
{
    for (size_t i = takings; memory && i-- > 0;)
        if (taken[i] == memory)
            taken[i] = taken[--takings];
    free(memory);
}

static size_t findings;

bool noted_pattern_find(const char *pattern, struct names *names)
{
    bool within = pattern_find(pattern, names);
    HOLDS(names->count <= NAMES_MAX && (names->count < 2 || strcmp(names->list[0], names->list[1]) <= 0 || !within));
    findings += names->count;
    return within;
}

bool names_were_found(void)
{
    return findings > 0;
}

void give_back(void)
{
    while (takings > 0)
        free(taken[--takings]);
    most = SIZE_MAX;
    findings = 0;
}
