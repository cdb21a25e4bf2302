/* What the parts of the module know of each other. */
#ifndef JAILSSH_PAM_MODULE_H
#define JAILSSH_PAM_MODULE_H

#include <stdbool.h>
#include <stddef.h>

struct pam_handle;

/* Services of PAM by their names: root becomes the account; what starts nothing but a shell for it, of which
 * jailssh/setup/pam.py takes no others. */
bool service_is_su_by_root(const char *service);
bool service_can_be_inside(const char *service);

/* Put this process, for good, where the host's files are, and nothing of them can be executed but the login program,
 * which leaves it for the account's jail.  Returns NULL, or what failed, with errno; the process must end then. */
const char *view_enter(void);

/* What `jailssh setup` tells the module: a small file of root's, PAM_TABLE.  jailssh/setup/pam_table.py writes it. */
enum { TABLE_MAX_ROWS = 512, TABLE_MAX_SIZE = 65536 };

/* What a row says: the members of a group are in a jail; a service is let through; what it starts runs in the jail. */
enum table_word { TABLE_GROUP, TABLE_THROUGH, TABLE_INSIDE, TABLE_WORDS };

struct table {
    unsigned long min_uid; /* of members of groups other than ours */
    size_t count;
    struct {
        enum table_word word;
        const char *value;
    } rows[TABLE_MAX_ROWS];
};

/* Parse SIZE bytes at TEXT, which has a NUL behind them and is changed; the table points into it.  Returns NULL when
 * they are acceptable, else a short reason; nothing of *OUT may be used then. */
const char *table_parse(char *text, size_t size, struct table *out);

const char *module_item(struct pam_handle *pamh, int type); /* of PAM's, "" for none */

/* Whom a record of the journal is about; JAIL may be NULL.  PEER: the client's address and what follows. */
struct subject {
    const char *name;
    unsigned uid;
    const char *jail;
};

enum { REFERENCE_SIZE = 17 };
void record_name(char *reference); /* a new one */
const char *record_client(struct pam_handle *pamh);

/* False without journald. */
bool record_refusal(struct subject whose, const char *code, const char *reference, const char *peer, const char *text);

/* The only records of a login for which nothing is started.  Which ports it was, sshd's own log says. */
void record_session(struct pam_handle *pamh, struct subject whose, bool begins);

bool table_has(const struct table *table, enum table_word word, const char *value);
#endif
