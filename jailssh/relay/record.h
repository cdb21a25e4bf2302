/* A message of a jail made into records of ours: what its sender says is text, what it is comes from elsewhere.
 * No input or output. */
#ifndef JAILSSH_RELAY_RECORD_H
#define JAILSSH_RELAY_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Bytes of a message, and of a record, in which what cannot be read takes four times its size; fields of one record
 * beside ours, and records of one message. */
enum { MESSAGE_MOST = 1 << 20, RECORD_MOST = 2 << 20, FIELDS_MOST = 64, ENTRIES_MOST = 256 };

/* Who has sent it, by the socket and the kernel.  FIELDS: lines of the record that tell of the account. */
struct origin {
    const char *user, *fields;
    pid_t pid;
    const char *session; /* "" where it is not known */
};

enum outcome { TAKEN, MALFORMED, TOO_LARGE, NO_ROOM };

/* Takes a finished record; false where there is no room for it. */
typedef bool record_taker(void *with, const char *record, size_t length);

/* Make the records of a message: TEXT, LENGTH bytes and a NUL behind them.  TAKE gets each.  The room for a record is
 * ours until the next call. */
enum outcome record_make(const struct origin *from, const char *text, size_t length, record_taker *take, void *with);

/* Make one that tells of what was dropped: COUNT messages of this account, HOW in words. */
void record_of_drops(const struct origin *from, const char *how, unsigned long long count, record_taker *take,
                     void *with);

/* The same record as a line for a syslog daemon, at NOW; returns its length, at most SIZE. */
size_t record_as_line(const char *record, size_t length, const char *now, char *line, size_t size);

#endif
