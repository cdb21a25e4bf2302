/* What a line of sftp-server's log says, where it can be read in one way. */
#include "operation.h"

#include <ctype.h>
#include <string.h>

/* Sftp-server cuts messages to 1,021 bytes, between two escaped characters; what it cut may look like a shorter one. */
enum { MAY_BE_CUT = 1016 };

/* The operations, and the word that stands before the path. */
static const struct {
    const char *name, *before;
    bool two;
} operations[] = {
    { "open", "", false },
    { "close", "", false },
    { "opendir", "", false },
    { "closedir", "", false },
    { "set", "", false },
    { "statvfs", "", false },
    { "mkdir", "name ", false },
    { "rmdir", "name ", false },
    { "remove", "name ", false },
    { "rename", "old ", true },
    { "symlink", "old ", true },
    { "hardlink", "old ", true },
    { "posix-rename", "old ", true },
};

/* Past PREFIX at the beginning of TEXT, or NULL. */
static char *past(char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* End the digits at TEXT; returns where they begin, or NULL. */
static const char *digits(char *text)
{
    size_t n = strspn(text, "0123456789");
    text[n] = '\0';
    return n > 0 ? text : NULL;
}

/* Names are not escaped for quotes: the last quote of a line ends the path, since no word of sftp-server's own has one
 * after it; where two names could be divided in more than one way, they are left alone. */
static void take_paths(char *quote, bool two, struct operation *out)
{
    static const char between[] = "\" new \"";
    char *end = strrchr(quote + 1, '"'), *middle = two ? strstr(quote + 1, between) : NULL;
    if (!end || (two && (!middle || strstr(middle + 1, between) || middle + sizeof between - 1 > end)))
        return;
    char *rest = end + 1, *written;
    *end = '\0';
    out->path = quote + 1;
    if (two) {
        *middle = '\0';
        out->new_path = middle + sizeof between - 1;
    } else if ((rest = past(rest, " bytes read ")) && (written = strstr(rest, " written "))) {
        out->bytes_written = digits(written + strlen(" written "));
        out->bytes_read = digits(rest);
    }
}

bool operation_parse(char *line, struct operation *out)
{
    size_t length = strlen(line);
    char *closed = past(line, "forced "), *begin = closed ? closed : line;
    *out = (struct operation){ 0 };
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        char *blank = past(begin, operations[i].name), *word = blank ? past(blank, " ") : NULL;
        char *quote = word ? past(word, operations[i].before) : NULL;
        if (!quote || *quote != '"')
            continue;
        *blank = '\0';
        out->name = begin;
        out->kind = (int)i;
        if (length < MAY_BE_CUT)
            take_paths(quote, operations[i].two, out);
        return true;
    }
    return false;
}
