/* The lines by which git and its hook talk: gitprotocol-common(5), pkt-line. */
#ifndef JAILSSH_REFS_LINE_H
#define JAILSSH_REFS_LINE_H

#include <stdbool.h>
#include <stddef.h>

enum { LINE_MOST = 65516 };

enum line { LINE_TEXT, LINE_FLUSH, LINE_NONE };

/* Read the next line into TEXT, of LINE_MOST + 1 bytes, with a zero behind its *LENGTH bytes, which may hold zeros too,
 * and without the newline at its end.  LINE_NONE: the end, or nothing that is a line. */
enum line line_read(char *text, size_t *length);

/* Put a line of these parts into what is sent next.  False: it is too long, or nobody listens. */
bool line_write(const char *word, const char *name, const char *between, const char *rest);

/* Send what there is, and the packet that ends a list. */
bool line_flush(void);

#endif
