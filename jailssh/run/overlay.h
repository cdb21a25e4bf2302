/* A tree of several layers (overlayfs), and where what is written to it goes. */
#ifndef JAILSSH_RUN_OVERLAY_H
#define JAILSSH_RUN_OVERLAY_H

#include <stdbool.h>

#include "plan.h"

bool overlay_is_wanted(const struct plan *plan);

/* The directory TREE over the plan's other layers as a detached mount with these attributes; closes TREE.  Refuses. */
int overlay_mount(const struct plan *plan, int tree, unsigned long attr);

#endif
