/* The request, after the drop, in the jail's first process. */
#ifndef JAILSSH_COMMAND_H
#define JAILSSH_COMMAND_H

#include <stdnoreturn.h>

#include "env.h"
#include "plan.h"
#include "rule.h"

/* Deny what the plan's limits deny now; the first word of PEER is the client's address. */
void command_limits(const struct plan *plan, const char *peer);

/* Judge the request and run it, with a terminal of the jail's own where TERMINAL is true. */
noreturn void command_run(const struct plan *plan, const struct request *request, int channel, bool terminal);

/* Its parts.  What comes before anything is started; what VERDICT says started and waited for.  Where that is not
 * ALLOWED by a rule, nothing is told but its end. */
void command_begin(const struct plan *plan);
noreturn void command_start(const struct plan *plan, const struct request *request, struct verdict *verdict,
                            int channel, bool terminal);

#endif
