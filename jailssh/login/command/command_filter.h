/* A second filter for a command alone: what the jail's first process needs itself, and the command does not. */
#ifndef JAILSSH_COMMAND_FILTER_H
#define JAILSSH_COMMAND_FILTER_H

#include <linux/filter.h>
#include <stdbool.h>

struct command_filter {
    struct sock_filter code[11];
};

/* Make the filter of what *PROGRAM is to become.  With ALONE it executes nothing after its start; *PROGRAM is then the
 * same path at another address. */
void command_filter_prepare(struct command_filter *filter, const char **program, bool alone);

/* Install it, right before execve(2).  For a child of vfork(2): it writes to nothing. */
bool command_filter_enter(const struct command_filter *filter);

#endif
