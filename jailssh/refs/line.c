#include <stdio.h>
#include <string.h>

#include "line.h"

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

enum line line_read(char *text, size_t *length)
{
    char head[4];
    size_t n = 0;
    if (fread(head, 1, sizeof head, stdin) != sizeof head)
        return LINE_NONE;
    for (size_t i = 0; i < sizeof head; i++) {
        int value = digit(head[i]);
        if (value < 0)
            return LINE_NONE;
        n = n << 4 | (size_t)value;
    }
    if (n == 0)
        return LINE_FLUSH;
    if (n < sizeof head || n - sizeof head > LINE_MOST)
        return LINE_NONE;
    n -= sizeof head;
    if (fread(text, 1, n, stdin) != n)
        return LINE_NONE;
    if (n > 0 && text[n - 1] == '\n')
        n--;
    text[n] = '\0';
    *length = n;
    return LINE_TEXT;
}

bool line_write(const char *word, const char *name, const char *between, const char *rest)
{
    size_t n = 4 + strlen(word) + strlen(name) + strlen(between) + strlen(rest);
    return n <= LINE_MOST && printf("%04zx%s%s%s%s", n, word, name, between, rest) > 0;
}

bool line_flush(void)
{
    return fputs("0000", stdout) >= 0 && fflush(stdout) == 0;
}
