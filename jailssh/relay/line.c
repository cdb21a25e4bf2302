#include "line.h"

#include <stdbool.h>
#include <string.h>

enum { PRI_MOST = 191, DATE = 16 };

static size_t digits(const char *text, size_t length)
{
    size_t n = 0;
    while (n < length && text[n] >= '0' && text[n] <= '9')
        n++;
    return n;
}

/* <PRI> of one to three digits. */
static size_t read_priority(const char *text, size_t length, struct said *said)
{
    size_t n = length > 0 && text[0] == '<' ? digits(text + 1, length - 1) : 0;
    int number = 0;
    if (n < 1 || n > 3 || n + 1 >= length || text[n + 1] != '>')
        return 0;
    for (size_t i = 1; i <= n; i++)
        number = number * 10 + (text[i] - '0');
    if (number <= PRI_MOST) {
        said->priority = number & 7;
        said->facility = number >> 3;
    }
    return n + 2;
}

/* "Mmm dd hh:mm:ss ", by its form alone: when something was said tells the journal. */
static size_t read_date(const char *text, size_t length)
{
    static const char form[] = "Aaa 00 00:00:00 ";
    if (length < DATE)
        return 0;
    for (size_t i = 0; i < DATE; i++) {
        char c = text[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'), digit = (c >= '0' && c <= '9') || c == ' ';
        if (form[i] == '0' ? !digit : form[i] == 'A' || form[i] == 'a' ? !letter : c != form[i])
            return 0;
    }
    return DATE;
}

/* The word at the beginning, if it ends in a colon, without "[PID]". */
static size_t read_tag(const char *text, size_t length, struct said *said)
{
    size_t n = 0;
    while (n < length && text[n] != ' ' && text[n] != '\t' && text[n] != '\n')
        n++;
    if (n < 2 || text[n - 1] != ':')
        return 0;
    const char *bracket = text[n - 2] == ']' ? memchr(text, '[', n) : NULL;
    said->tag = (struct text){ text, bracket ? (size_t)(bracket - text) : n - 1 };
    return n < length && text[n] == ' ' ? n + 1 : n;
}

void line_read(const char *text, size_t length, struct said *said)
{
    /* logger(1) ends a message with a newline, a stream of syslog(3) with a NUL. */
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\0'))
        length--;
    size_t at = read_priority(text, length, said);
    at += read_date(text + at, length - at);
    at += read_tag(text + at, length - at, said);
    said->message = (struct text){ text + at, length - at };
}
