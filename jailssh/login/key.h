/* Whose key logged in to a shared account: the names in its roster (plan_is_roster). */
#ifndef JAILSSH_KEY_H
#define JAILSSH_KEY_H

#include "plan.h"

enum { KEY_FILE_MAX = 256 << 10 };

struct key {
    const char *name; /* of the key, of kind n */
    const char *plan; /* the serial of its plan */
    char detail[128]; /* why there is no name; never a part of a key */
};

/* Find the one name of all keys in TEXT, the SIZE bytes that sshd leaves with ExposeAuthInfo (sshd_config(5)) and a
 * NUL; TEXT is cut to pieces.  Returns NULL, or the reason code of a refusal with out->detail set. */
const char *key_find(const struct plan *roster, char *text, size_t size, struct key *out);

#endif
