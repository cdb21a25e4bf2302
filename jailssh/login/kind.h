/* The kinds of the plan's tokens, and the classes of values among them. */
#ifndef JAILSSH_KIND_H
#define JAILSSH_KIND_H

#include <stdbool.h>
#include <stddef.h>

/* What a value of an option or an operand may be: a class of the plan, parsed. */
enum class_kind {
    CLASS_FLAG, /* an option that has no value */
    CLASS_WORD,
    CLASS_TEXT,
    CLASS_PATH,
    CLASS_CAPABILITIES,
    CLASS_REPOSITORY,
    CLASS_NEW_REPOSITORY,
    CLASS_INT,     /* least to most */
    CLASS_SIZE,    /* at most most */
    CLASS_ENUM,    /* one of list, which commas separate */
    CLASS_PATTERN, /* as list, with * for any part */
};
struct value_class {
    enum class_kind kind;
    long long least, most;
    const char *list;
};

/* Kinds of tokens: does TEXT fit KIND, a letter of plan_ops.h; is it a number of at most MOST digits, a login name, the
 * name of one jail? */
bool kind_fits(char kind, const char *text);
bool kind_is_decimal(const char *text, size_t most);
bool kind_is_account(const char *name);
bool kind_is_jail(const char *name);

/* Parse a value's class; false where it is none.  What it lists is not copied. */
bool class_parse(const char *text, struct value_class *out);

#endif
