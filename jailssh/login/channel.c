/* Both ends of what the jail's first process tells the outer half: one datagram each, a letter and up to three texts
 * that newlines separate. */
#include "channel.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "recording.h"

static int to_outer = -1;

void channel_open(int channel)
{
    to_outer = channel;
}

void channel_say(char what, const char *first, const char *second, const char *third)
{
    char message[CHANNEL_MAX];
    int n = snprintf(message, sizeof message, "%c%s\n%s\n%s", what, first, second, third);
    (void)!send(to_outer, message, n < (int)sizeof message ? (size_t)n : sizeof message, MSG_NOSIGNAL);
}

void channel_say_why(char what, enum reason reason, const char *detail, const char *rule)
{
    char number[12];
    snprintf(number, sizeof number, "%d", (int)reason);
    channel_say(what, number, detail, rule);
}

bool channel_waits(const struct plan *plan)
{
    return plan_says(plan, OP_JOURNAL, "require") || record_descriptor() >= 0;
}

bool channel_is_cut(void)
{
    char byte;
    return recv(to_outer, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void channel_parts(char *message, const char *part[3])
{
    message++;
    for (int i = 0; i < 3; i++) {
        part[i] = message;
        message += strcspn(message, "\n");
        if (*message)
            *message++ = '\0';
    }
}
