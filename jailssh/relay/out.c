#include "out.h"

#include <stdio.h>
#include <string.h>

#include "readable.h"

void out_raw(struct out *out, const char *text, size_t length)
{
    if (length > out->size - out->used) {
        out->full = true;
        return;
    }
    memcpy(out->to + out->used, text, length);
    out->used += length;
}

void out_text(struct out *out, const char *text)
{
    out_raw(out, text, strlen(text));
}

void out_number(struct out *out, long long number)
{
    char text[24];
    out_raw(out, text, (size_t)snprintf(text, sizeof text, "%lld", number));
}

void out_foreign(struct out *out, const char *text, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    size_t start = 0, at = 0;
    if (length == 0) /* TEXT may be NULL then */
        return;
    while (at < length && !out->full) {
        size_t n = readable(text + at);
        if (n > 0 && n <= length - at) {
            at += n;
            continue;
        }
        unsigned char byte = (unsigned char)text[at];
        char escaped[4] = { '\\', 'x', digits[byte >> 4], digits[byte & 15] };
        out_raw(out, text + start, at - start);
        out_raw(out, escaped, sizeof escaped);
        start = ++at;
    }
    out_raw(out, text + start, at - start);
}
