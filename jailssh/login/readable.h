/* Which bytes of a text everybody can read. */
#ifndef JAILSSH_READABLE_H
#define JAILSSH_READABLE_H

#include <stddef.h>

/* The bytes of the character at TEXT if it can be read, 0 for a control character or what is not UTF-8 (RFC 3629): with
 * one such byte journalctl(1) shows nothing of the whole field.  TEXT ends in a byte below 0x80. */
size_t readable(const char *text);

#endif
