/* One line of sftp-server's log. */
#ifndef JAILSSH_OPERATION_H
#define JAILSSH_OPERATION_H

#include <stdbool.h>
#include <stddef.h>

enum { LINE_MAX_KEPT = 4098 }; /* more than the journal's fields hold, which mark what they cut */

/* What one line of sftp-server(8) says, as pointers into it; NULL what it does not say beyond doubt. */
struct operation {
    int kind; /* of the names, a small number */
    const char *name, *path, *new_path, *bytes_read, *bytes_written;
};

/* Take LINE apart, in place.  False: it is not about a file. */
bool operation_parse(char *line, struct operation *out);

#endif
