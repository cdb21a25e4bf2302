/* What `jailssh setup` tells the module: a small file of root's, PAM_TABLE.  jailssh/setup/pam_table.py writes it. */
#ifndef JAILSSH_PAM_TABLE_H
#define JAILSSH_PAM_TABLE_H

#include <stdbool.h>
#include <stddef.h>

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

bool table_has(const struct table *table, enum table_word word, const char *value);

#endif
