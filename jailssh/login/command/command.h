/* The request, after the drop, in the jail's first process. */
#ifndef JAILSSH_COMMAND_H
#define JAILSSH_COMMAND_H

#include <stdnoreturn.h>

#include "env.h"
#include "plan.h"

/* Judge the request and run it, with a terminal of the jail's own where TERMINAL is true. */
noreturn void command_run(const struct plan *plan, const struct request *request, int channel, bool terminal);

#endif
