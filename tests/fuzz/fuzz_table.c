/* The table of the PAM module.  What it takes can be read in one way: written again from its rows it says the same. */
#include "fuzz.h"

#include "module.h"

static void check_row(const struct table *table, size_t i)
{
    const char *value = table->rows[i].value;
    HOLDS(table->rows[i].word < TABLE_WORDS);
    HOLDS(*value && strlen(value) < 256);
    for (const char *at = value; *at; at++)
        HOLDS(*at > ' ' && *at <= '~' && *at != '/' && *at != ':');
    HOLDS(table_has(table, table->rows[i].word, value));
}

static void write_again(const struct table *table, struct table *again, char **text)
{
    static const char *const words[] = { "group", "through", "inside" };
    size_t size;
    FILE *out = open_memstream(text, &size);
    HOLDS(out);
    fprintf(out, "jailssh-pam 1\nmin-uid %lu\n", table->min_uid);
    for (size_t i = 0; i < table->count; i++)
        fprintf(out, "%s %s\n", words[table->rows[i].word], table->rows[i].value);
    fputs("end\n", out);
    fclose(out);
    HOLDS(!table_parse(*text, size, again));
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct table table, again;
    char *text = string_of(data, size), *other = NULL;
    const char *why = table_parse(text, size, &table);
    HOLDS(!why || *why);
    if (!why) {
        HOLDS(table.count <= TABLE_MAX_ROWS && table.min_uid > 0);
        HOLDS(table_has(&table, TABLE_GROUP, "jailssh"));
        for (size_t i = 0; i < table.count; i++)
            check_row(&table, i);
        write_again(&table, &again, &other);
        HOLDS(again.count == table.count && again.min_uid == table.min_uid);
        for (size_t i = 0; i < table.count; i++)
            HOLDS(again.rows[i].word == table.rows[i].word && strcmp(again.rows[i].value, table.rows[i].value) == 0);
    }
    free(other);
    free(text);
    return 0;
}
