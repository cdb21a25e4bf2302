/* Deciding about a command by the plan's rules (grammar: jailssh/policy/rules.py). */
#ifndef JAILSSH_MATCH_H
#define JAILSSH_MATCH_H

#include "rule.h"

/* Judge REQUEST (command NULL: interactive login).  INSIDE says that this runs in the jail after the drop, so paths
 * are looked at; otherwise they are judged by their text alone.  Memory is taken and never given back: the process
 * ends or executes right after.  What is taken for a word is at most three times its length, the home's or base's,
 * and a few bytes; what patterns find and look at has bounds of its own. */
void match_request(const struct plan *plan, const char *command, bool inside, struct verdict *out);

#endif
