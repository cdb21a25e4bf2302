/* The outer half's own system call filter. */
#ifndef JAILSSH_CONFINE_H
#define JAILSSH_CONFINE_H

#include <sys/types.h>

/* From now on this process makes only the system calls that the outer half needs: another one kills it. */
void outer_confine(pid_t jail);

#endif
