/* The patterns of tables of rights: for repositories, and for references, whose names look the same. */
#include <string.h>

#include "like.h"

bool like_fits(const char *pattern, const char *text, size_t n)
{
    const char *end = text + n, *star = NULL, *taken = NULL; /* behind this component's last *, and what it takes */
    for (;;) {
        bool begins = text[-1] == '/', behind_star = star && pattern == star;
        if (begins && !behind_star && strcmp(pattern, "**") == 0) /* the rest: components begin with no dot */
            return text < end && text[0] != '.' && !memmem(text, (size_t)(end - text), "/.", 2);
        if (*pattern == '*' && !(begins && *text == '.')) {
            star = ++pattern;
            taken = text;
        } else if (text == end ? *pattern == '\0' : *pattern == *text) {
            if (text == end)
                return true;
            star = *pattern == '/' ? NULL : star;
            pattern++;
            text++;
        } else if (!star || taken == end || *taken == '/') {
            return false;
        } else {
            pattern = star;
            text = ++taken;
        }
    }
}
