/* Makes records of messages with the sanitizers: each message and each answer is a length of four bytes and the bytes.
 * An answer is the outcome, a digit, and behind it each record with a NUL; with an argument each record is a line of
 * syslog. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "record.h"

static const struct origin FROM = { "alice", "JAILSSH_USER=alice\nJAILSSH_UID=1001\nJAILSSH_JAIL=dev\n", 77,
                                    "0123456789abcdef" };
static char answer[8 << 20];
static size_t used;
static int as_lines;

static bool take(void *with, const char *record, size_t length)
{
    (void)with;
    if (used + length + 256 > sizeof answer)
        return false;
    if (as_lines)
        used += record_as_line(record, length, "Nov 28 21:00:00", answer + used, sizeof answer - used - 1);
    else
        memcpy(answer + used, record, length), used += length;
    answer[used++] = '\0';
    return true;
}

int main(int argc, char **argv)
{
    uint32_t size;
    (void)argv;
    as_lines = argc > 1;
    while (fread(&size, sizeof size, 1, stdin) == 1) {
        char *text = malloc((size_t)size + 1); /* of the exact size, so that a byte too far is seen */
        if (!text || fread(text, 1, size, stdin) != size)
            return 1;
        text[size] = '\0';
        used = 1;
        answer[0] = (char)('0' + record_make(&FROM, text, size, take, NULL));
        free(text);
        size = (uint32_t)used;
        fwrite(&size, sizeof size, 1, stdout);
        fwrite(answer, 1, used, stdout);
    }
    return 0;
}
