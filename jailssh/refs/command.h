/* A command of the administrator's, held to bounds: who pushes waits for it no longer than these say. */
#ifndef JAILSSH_REFS_COMMAND_H
#define JAILSSH_REFS_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* Milliseconds of a clock that only goes on. */
long long command_clock(void);

struct ending {
    int status; /* as waitpid(2) has it; 127 for what could not be started */
    bool in_time;
    long long took; /* milliseconds */
};

/* Run WORDS, whose first is a path, with IN as its standard input, until it ends or the clock shows END: then it gets
 * SIGTERM, and after a second SIGKILL.  What it says goes to standard error as far as there is room, readable. */
struct ending command_run(char *const *words, int in, long long end);

/* Say to who pushes what is readable, 4096 bytes at most.  What does not go through at once is dropped: a client that
 * reads nothing holds nothing up. */
void command_say(const char *text, size_t n);

#endif
