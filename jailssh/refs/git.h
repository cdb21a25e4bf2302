/* What git itself is asked about commits. */
#ifndef JAILSSH_REFS_GIT_H
#define JAILSSH_REFS_GIT_H

#include <stdbool.h>

/* True if the commit OLD is NEW's, or is one of those that lead to it: no commit gets lost on the way from the one to
 * the other.  A tag that is an object is never led away from.  False too where git cannot say. */
bool git_leads(const char *old, const char *new);

#endif
