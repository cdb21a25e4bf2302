/* Acting on files with the rights of the user. */
#ifndef JAILSSH_ASUSER_H
#define JAILSSH_ASUSER_H

#include "plan.h"

/* Return what ACT, which is handed WITH, returns when the files that it opens are opened as the plan's user;
 * descriptors that it opens stay open here.  Where that is denied it is called once more, in a process that is the user
 * altogether: a home of FUSE shows itself to nobody else (fuse(4), allow_other).  errno is what ACT has left. */
int as_user(const struct plan *plan, int (*act)(void *), void *with);

#endif
