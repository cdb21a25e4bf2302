/* A second filter for a command alone: what the jail's first process needs itself, and the command does not. */
#ifndef JAILSSH_CONFINE_H
#define JAILSSH_CONFINE_H

#include <linux/filter.h>
#include <stdbool.h>

struct confine {
    struct sock_filter code[11];
};

/* Make the filter of what *PROGRAM is to become.  With ALONE it executes nothing after its start; *PROGRAM is then the
 * same path at another address. */
void confine_prepare(struct confine *filter, const char **program, bool alone);

/* Install it, right before execve(2).  For a child of vfork(2): it writes to nothing. */
bool confine_enter(const struct confine *filter);

#endif
