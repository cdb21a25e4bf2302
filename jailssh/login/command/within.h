/* What of the directories that a jail shows one rule's command can use: the kernel's second line behind the matcher. */
#ifndef JAILSSH_WITHIN_H
#define JAILSSH_WITHIN_H

#include "plan.h"

/* Make the ruleset of the rule that begins at record RULE (landlock(7)).  Returns a descriptor, or -1 for a rule that
 * names no directories, and where the kernel is too old: what the jail shows is the border then. */
int within_open(const struct plan *plan, size_t rule);

/* In the command's process: put RULESET in force; -1 is none.  Writes no memory.  False with errno. */
bool within_enter(int ruleset);

#endif
