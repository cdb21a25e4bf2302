#include "readable.h"

size_t readable(const char *text)
{
    const unsigned char *c = (const unsigned char *)text;
    if (c[0] < 0x80)
        return c[0] >= 0x20 && c[0] != 0x7f;
    size_t n = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
    unsigned long code = c[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (c[i] & 0x3f);
    }
    static const unsigned long least[] = { [2] = 0xa0, [3] = 0x800, [4] = 0x10000 }; /* below U+00A0: more controls */
    return c[0] >= 0xc2 && c[0] <= 0xf4 && code >= least[n] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? n
                                                                                                                    : 0;
}
