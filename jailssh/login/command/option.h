/* The options of a command. */
#ifndef JAILSSH_OPTION_H
#define JAILSSH_OPTION_H

#include "rule.h"

/* Take the options from word *INDEX on, up to the rule's mark, "--" or the first operand. */
bool match_options(struct matching *m, size_t *index);

#endif
