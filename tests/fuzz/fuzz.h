/* What the fuzz targets share. */
#ifndef JAILSSH_FUZZ_H
#define JAILSSH_FUZZ_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command/match.h"
#include "command/pattern.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* A property of the code under test that does not hold is a finding. */
#define HOLDS(property)                                                                                                \
    do {                                                                                                               \
        if (!(property)) {                                                                                             \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #property);                              \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The bytes in memory of their very size, so that reading one byte more is found. */
static inline char *copy_of(const unsigned char *data, size_t size)
{
    char *copy = malloc(size ? size : 1);
    HOLDS(copy);
    if (size)
        memcpy(copy, data, size);
    return copy;
}

/* The same as a string. */
static inline char *string_of(const unsigned char *data, size_t size)
{
    char *copy = malloc(size + 1);
    HOLDS(copy);
    if (size)
        memcpy(copy, data, size);
    copy[size] = '\0';
    return copy;
}

/* No single piece of memory that is taken from now on may be larger; ends with give_back. */
void bound_each_taking(size_t size);

/* Since the last time that everything was given back: did patterns stand for names? */
bool names_were_found(void);
void give_back(void);

/* True if the rule has a record with this verb and first argument (judge.c). */
bool rule_has(const struct plan *plan, size_t rule, enum plan_verb verb, const char *word);

/* Check an operand of class CLS as it is executed (judge.c), and all options and operands of a verdict (again.c). */
void check_operand(const struct plan *plan, size_t rule, const char *cls, const char *word);
void check_options(const struct plan *plan, const struct verdict *verdict);

/* Check a verdict on COMMAND (NULL: interactive) by PLAN, and give back what the matcher took. */
void judge(const struct plan *plan, const char *command, bool inside);

#endif
