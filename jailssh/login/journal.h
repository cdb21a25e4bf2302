/* Journal records by the native protocol (systemd.io, "Native Journal Protocol"), built field by field. */
#ifndef JAILSSH_JOURNAL_H
#define JAILSSH_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

/* The events of the login program with their MESSAGE_ID; jailssh/core/journal_fields.py holds the same. */
#define EVENT_START "session-start"
#define EVENT_START_ID "5c1f0d9b2a6e4d6f9d3a7f1f6b0c2e41"
#define EVENT_END "session-end"
#define EVENT_END_ID "d0b84f1e7c5a4a35b2e96d0f83c71a52"
#define EVENT_DENIED "denied"
#define EVENT_DENIED_ID "9a3e6c70f14b4c8e8f25d1b7e06a9c63"
#define EVENT_REFUSED "refused"
#define EVENT_REFUSED_ID "2f7d95a8c3e04b61a4d8c06e5b1f9374"
#define EVENT_FILE "file-operation"
#define EVENT_FILE_ID "c81d4f7a20b94e6fb3f65a9e0d27c4b1"

/* Connect, while the host's files can still be seen.  False without journald. */
bool journal_connect(void);

/* Whose session it is: KEY is "" but in a shared account.  Then a message, the first field after the beginning, says
 * it to who reads messages alone. */
void journal_name(const char *account, const char *key);
void journal_message(const char *text);

/* Begin a record of EVENT; the fields of journal_keep() are in every record. */
void journal_begin(const char *event, const char *message_id, int priority);
void journal_keep(const char *field, const char *value);

/* Add a field; control characters and bytes that are not ASCII or UTF-8 are escaped; of a long value the rest is left
 * out, with "..." in its place. */
void journal_add(const char *field, const char *value);
void journal_add_number(const char *field, long long value);

/* Bytes that a value takes in a record, which holds no more than RECORD_MAX altogether. */
enum { RECORD_MAX = 65536 };
size_t journal_length(const char *value);

/* Send it, and wait some seconds if that needs waiting.  False when it could not be delivered. */
bool journal_send(void);

/* Send it if that needs no waiting: 1 sent, 0 to be tried again (POLLOUT of the descriptor says when), -1 not sent. */
int journal_offer(void);
int journal_descriptor(void);

#endif
