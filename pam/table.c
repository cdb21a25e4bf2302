#include "module.h"

#include <stdlib.h>
#include <string.h>

#define HEAD "jailssh-pam 1"

static const char *const words[TABLE_WORDS] = { "group ", "through ", "inside " };

static bool is_name(const char *text)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.@+-";
    size_t n = strspn(text, allowed);
    return n > 0 && n < 256 && text[n] == '\0';
}

static bool read_row(const char *line, struct table *table)
{
    static const char min_uid[] = "min-uid ";
    if (strncmp(line, min_uid, sizeof min_uid - 1) == 0) {
        const char *digits = line + sizeof min_uid - 1;
        size_t n = strspn(digits, "0123456789");
        table->min_uid = strtoul(digits, NULL, 10);
        return n > 0 && n < 10 && digits[n] == '\0';
    }
    for (enum table_word word = 0; word < TABLE_WORDS; word++) {
        size_t n = strlen(words[word]);
        if (strncmp(line, words[word], n) != 0)
            continue;
        if (table->count == TABLE_MAX_ROWS || !is_name(line + n))
            return false;
        table->rows[table->count].word = word;
        table->rows[table->count++].value = line + n;
        return true;
    }
    return false;
}

const char *table_parse(char *text, size_t size, struct table *out)
{
    *out = (struct table){ 0 };
    if (strlen(text) != size || size == 0 || text[size - 1] != '\n')
        return "is cut off or no text";
    const char *line = strsep(&text, "\n");
    if (strcmp(line, HEAD) != 0)
        return "is of another version";
    while ((line = strsep(&text, "\n")) && strcmp(line, "end") != 0)
        if (!read_row(line, out))
            return "has a row that is not known";
    if (!line || *text != '\0')
        return "does not end where it should";
    return out->min_uid > 0 && table_has(out, TABLE_GROUP, "jailssh") ? NULL : "lacks a row";
}

bool table_has(const struct table *table, enum table_word word, const char *value)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].word == word && strcmp(table->rows[i].value, value) == 0)
            return true;
    return false;
}
