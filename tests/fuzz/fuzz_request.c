/* The splitter: any command; behind a byte 255, a long one: the rest so many times.  Words hold nothing that was not
 * sent, no control character, and their patterns match them. */
#include "fuzz.h"

static bool same_but_for_backslashes(const char *pattern, const char *text)
{
    for (; *text; text++, pattern++) {
        pattern += *pattern == '\\';
        if (*pattern != *text)
            return false;
    }
    return *pattern == '\0';
}

/* The characters of the words are those of the command, in their order. */
static const char *sent(const char *command, const char *text)
{
    for (; *text; text++) {
        command = strchr(command, *text);
        HOLDS(command);
        command++;
    }
    return command;
}

static void check_words(const struct words *words, const char *command)
{
    HOLDS(words->count >= 1 && words->count <= WORDS_MAX);
    for (size_t i = 0; i < words->count; i++) {
        const struct word *word = &words->list[i];
        for (const char *at = word->text; *at; at++)
            HOLDS((unsigned char)*at >= 0x20 && *at != 0x7f);
        HOLDS(same_but_for_backslashes(word->pattern, word->text));
        HOLDS(!word->tilde || word->text[0] == '~');
        HOLDS(!word->glob || strpbrk(word->text, "*?["));
        command = sent(command, word->text);
    }
}

static char *repeated(const unsigned char *data, size_t size)
{
    enum { TIMES = 60 };
    char *command = malloc(TIMES * size + 1);
    HOLDS(command);
    for (size_t i = 0; i < TIMES; i++)
        memcpy(command + i * size, data, size);
    command[TIMES * size] = '\0';
    return command;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static struct words words;
    bool is_long = size > 0 && data[0] == 0xff;
    char *command = is_long ? repeated(data + 1, size - 1) : string_of(data, size), *buffer = malloc(4 * REQUEST_MAX);
    HOLDS(buffer);
    enum reason why = request_split(command, &words, buffer);
    if (why)
        HOLDS(strlen(words.at_fault) <= 4);
    else
        check_words(&words, command);
    free(buffer);
    free(command);
    return 0;
}
