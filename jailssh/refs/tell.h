/* What is told to the host's journal, by the socket that the relay has in the jail: whose it is says the relay. */
#ifndef JAILSSH_REFS_TELL_H
#define JAILSSH_REFS_TELL_H

#include <stdbool.h>
#include <stddef.h>

struct told {
    const char *repository, *command, *how;
    bool good;
    size_t references;
    long long took; /* milliseconds */
    int status;     /* as waitpid(2) has it */
};

/* Waits for a second at most; nothing where nobody relays. */
void tell_journal(const struct told *told);

/* Tell of a push to who sends webhooks, which HOOK names; FD has the COUNT updates, as many of which are told as there
 * is room for. */
void tell_push(const char *repository, const char *hook, size_t count, int fd);

#endif
