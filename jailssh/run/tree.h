/* The tree as the root, and what is mounted in it. */
#ifndef JAILSSH_RUN_TREE_H
#define JAILSSH_RUN_TREE_H

#include "plan.h"

/* Before there are namespaces: look at the tree and, as root, take it as a detached mount; else -1. */
int tree_open(const struct plan *plan);

/* In the new namespaces: mount all that the plan says, make the tree the root. */
void tree_build(const struct plan *plan, int tree);

#endif
