/* A /proc with the jail's own processes, and where the plan has files for it with what programs read of the system. */
#ifndef JAILSSH_PROC_H
#define JAILSSH_PROC_H

#include "cover.h"
#include "plan.h"

/* Write the file of a record below PROC_FILES, which the user cannot change once the jail is complete. */
#define PROC_FILES "/run/proc"
void proc_write(const struct plan *plan, size_t record, int root);

void proc_build(const struct plan *plan, int root, const struct empty *empty);

#endif
