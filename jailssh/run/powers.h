/* What is left of root's power for the command and for the outer half. */
#ifndef JAILSSH_RUN_POWERS_H
#define JAILSSH_RUN_POWERS_H

#include "plan.h"

/* Become the plan's user for good, with the capabilities that it keeps and no others, and look that it is so. */
void powers_drop(const struct plan *plan);

/* For the outer half: nothing but to signal the command, whoever that is. */
void powers_of_outer(void);

#endif
