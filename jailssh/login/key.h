/* Whose key logged in to a shared account: the names in its roster (plan_is_roster). */
#ifndef JAILSSH_KEY_H
#define JAILSSH_KEY_H

#include "plan.h"
#include "reason.h"

enum { KEY_FILE_MAX = 256 << 10 };

struct key_doubt {
    enum reason reason;
    char detail[160]; /* of the key no more than its type */
};

/* Find the one name of all keys in TEXT, the SIZE bytes that sshd leaves with ExposeAuthInfo (sshd_config(5)) and a
 * NUL; TEXT is cut to pieces.  Returns the arguments of a record, which begin with the name of the key and the serial
 * of its plan, or NULL with *DOUBT. */
char *const *key_find(const struct plan *roster, char *text, size_t size, struct key_doubt *doubt);

#endif
