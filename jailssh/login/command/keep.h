/* What a command is kept from that may add files and change none. */
#ifndef JAILSSH_KEEP_H
#define JAILSSH_KEEP_H

#include <stdbool.h>

/* Hold this process to it, right before execve(2).  For a child of vfork(2): it writes to nothing. */
bool keep_enter(void);

#endif
