/* When and from where an account may be used; the PAM module asks it too. */
#ifndef JAILSSH_LIMIT_H
#define JAILSSH_LIMIT_H

#include <stddef.h>

#include "plan.h"
#include "reason.h"

/* Judge a login at NOW (seconds since 1970) from PEER, whose first word is the client's address.  Returns R_NONE, or
 * the reason of a denial with what the user is told in SENTENCE. */
enum reason limit_judge(const struct plan *plan, const char *peer, long long now, char *sentence, size_t size);

#endif
