/* The namespaces of a jail that is there already. */
#ifndef JAILSSH_SPACES_H
#define JAILSSH_SPACES_H

#include <stdbool.h>

enum { SPACES = 5, SPACES_STAT = 1024 }; /* namespaces; bytes of text */

/* Open a process by its number from /proc, PROC, as a directory; -1 without one. */
int spaces_process(int proc, const char *name);

/* Open its namespaces; false for a process that has ended, reaped or not. */
bool spaces_open(int process, int fds[SPACES]);

/* Enter these, and close them.  That of processes is entered by what is cloned from now on. */
bool spaces_enter(int fds[SPACES]);

/* When it was started: field 22 of its status (proc_pid_stat(5)) and what follows, in TEXT; or NULL. */
const char *spaces_start(int process, char text[SPACES_STAT]);

#endif
