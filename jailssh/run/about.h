/* What is being done, for the message of what fails: `fstab:3`, for one. */
#ifndef JAILSSH_RUN_ABOUT_H
#define JAILSSH_RUN_ABOUT_H

#include "reason.h"

/* Say WHAT in front of each refusal from now on; "" for nothing. */
void about(const char *what);

/* How everything of jailssh-run leaves that is not the command's own end (fail.h). */
void about_leave(int code, enum reason reason, const char *detail);

#endif
