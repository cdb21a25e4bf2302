/* Values of options, and operands, against their classes. */
#ifndef JAILSSH_VALUE_H
#define JAILSSH_VALUE_H

#include "rule.h"

/* True if the value is of this class; *REPLACEMENT is what is executed in its place.  A path's first is the verdict's.
 */
bool value_fits(struct matching *m, const struct value_class *cls, const struct value *value, const char **replacement);

#endif
