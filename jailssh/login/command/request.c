/* Splitting a command into words, without a shell and without power: MUST 14 of README.md. */
#include "request.h"

#include <stdio.h>
#include <string.h>

struct splitter {
    const char *at;
    char *text;
    char *pattern;
    struct words *out;
};

static enum reason blame(struct words *out, unsigned char c, enum reason reason)
{
    if (c > 0x20 && c < 0x7f)
        snprintf(out->at_fault, sizeof out->at_fault, "%c", c);
    else
        snprintf(out->at_fault, sizeof out->at_fault, "0x%02x", c);
    return reason;
}

static void put(struct splitter *s, char c, bool quoted)
{
    *s->text++ = c;
    if (quoted && strchr("*?[]\\~", c))
        *s->pattern++ = '\\';
    *s->pattern++ = c;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* At a quote: take everything up to its end.  Returns R_NONE or a reason. */
static enum reason take_quoted(struct splitter *s, char quote)
{
    for (s->at++; *s->at != quote; s->at++) {
        if (*s->at == '\0')
            return blame(s->out, (unsigned char)quote, R_UNBALANCED_QUOTE);
        if (is_control(*s->at))
            return blame(s->out, (unsigned char)*s->at, R_CONTROL_CHARACTER);
        if (quote == '"' && (*s->at == '$' || *s->at == '`'))
            return blame(s->out, (unsigned char)*s->at, R_SHELL_METACHARACTER);
        if (quote == '"' && *s->at == '\\' && s->at[1] && strchr("$`\"\\", s->at[1]))
            s->at++;
        put(s, *s->at, true);
    }
    s->at++;
    return R_NONE;
}

static enum reason take_word(struct splitter *s, struct word *word)
{
    const char *first = s->at;
    while (*s->at && *s->at != ' ') {
        enum reason why = R_NONE;
        char c = *s->at;
        if (c == '\'' || c == '"') {
            if ((why = take_quoted(s, c)))
                return why;
            continue;
        }
        if (is_control(c))
            return blame(s->out, (unsigned char)c, c == '\n' ? R_SHELL_METACHARACTER : R_CONTROL_CHARACTER);
        if (strchr(";|&<>$()`", c) || (c == '#' && s->at == first))
            return blame(s->out, (unsigned char)c, R_SHELL_METACHARACTER);
        if (c == '\\') {
            c = *++s->at;
            if (c == '\0')
                return blame(s->out, '\\', R_UNBALANCED_QUOTE);
            if (is_control(c))
                return blame(s->out, (unsigned char)c, R_CONTROL_CHARACTER);
            put(s, c, true);
        } else {
            word->glob = word->glob || strchr("*?[", c);
            word->tilde = word->tilde || (c == '~' && s->at == first);
            put(s, c, false);
        }
        s->at++;
    }
    *s->text++ = '\0';
    *s->pattern++ = '\0';
    return R_NONE;
}

enum reason request_split(const char *command, struct words *out, char buffer[4 * REQUEST_MAX])
{
    struct splitter s = { command, buffer, buffer + REQUEST_MAX + WORDS_MAX, out };
    out->count = 0;
    out->at_fault[0] = '\0';
    if (strnlen(command, REQUEST_MAX) == REQUEST_MAX)
        return R_COMMAND_TOO_LONG;
    for (;;) {
        while (*s.at == ' ')
            s.at++;
        if (*s.at == '\0')
            return out->count ? R_NONE : R_EMPTY_COMMAND;
        if (out->count == WORDS_MAX)
            return R_TOO_MANY_WORDS;
        struct word *word = &out->list[out->count];
        *word = (struct word){ .text = s.text, .pattern = s.pattern };
        enum reason why = take_word(&s, word);
        if (why) /* the word as far as it goes, for who explains the denial */
            *s.text = *s.pattern = '\0';
        out->count++;
        if (why)
            return why;
    }
}
