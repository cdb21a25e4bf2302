/* Text that grows in a buffer of a fixed size; what does not fit is remembered. */
#ifndef JAILSSH_RELAY_OUT_H
#define JAILSSH_RELAY_OUT_H

#include <stdbool.h>
#include <stddef.h>

struct out {
    char *to;
    size_t used, size;
    bool full;
};

void out_raw(struct out *out, const char *text, size_t length);
void out_text(struct out *out, const char *text);
void out_number(struct out *out, long long number);

/* What somebody else has written: what cannot be read becomes \xNN.  A byte that can be read stands behind its end. */
void out_foreign(struct out *out, const char *text, size_t length);

#endif
