/* The journal's own protocol, as systemd.io/JOURNAL_NATIVE_PROTOCOL describes it: NAME=value, or NAME, a length of
 * eight bytes and the value; an empty line stands between entries. */
#ifndef JAILSSH_RELAY_NATIVE_H
#define JAILSSH_RELAY_NATIVE_H

#include <stdbool.h>

#include "line.h"

struct field {
    struct text name, value;
};

enum field_kind { A_FIELD, END_OF_ENTRY, NO_FIELD };

/* True if the message begins as one of this protocol does. */
bool native_looks(const char *text, size_t length);

/* Read one field and move *AT behind it.  NO_FIELD: this cannot be a message. */
enum field_kind native_next(const char **at, const char *end, struct field *field);

/* Put into SAID what the field says of the message, if it is one of those that have a meaning to us and the first. */
void native_say(const struct field *field, struct said *said);

/* True for one that goes on as it is: nothing that we, the journal or a reader could take for something else. */
bool native_may_pass(const struct field *field);

#endif
