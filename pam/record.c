/* What the module writes into the journal, and what of it is asked from PAM. */
#include "module.h"

#include <pthread.h>
#include <security/pam_modules.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "../jailssh/login/journal.h"

#define FORWARDS "(ports)"            /* in the place of a command */
#define REFERENCE "jailssh-reference" /* of the session that was opened, until it is closed */
/* Of the record of a refusal, as of the login program's; of others. */
enum { PRIORITY = 4, INFORMATION = 6 };

struct event {
    const char *name, *id, *code; /* CODE of a refusal, else NULL */
    int priority;
};

const char *module_item(pam_handle_t *pamh, int type)
{
    const void *value = NULL;
    return pam_get_item(pamh, type, &value) == PAM_SUCCESS && value ? value : "";
}

const char *record_client(pam_handle_t *pamh)
{
    const char *said = pam_getenv(pamh, "SSH_CONNECTION"); /* sshd's own; PAM_RHOST may be a name */
    return said ? said : module_item(pamh, PAM_RHOST);
}

/* False without journald.  What is kept between fields is of the process. */
static bool record(struct subject whose, struct event event, const char *reference, const char *peer, const char *text)
{
    static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&one_at_a_time);
    bool sent = journal_connect();
    if (sent) {
        journal_name(whose.name, "");
        journal_begin(event.name, event.id, event.priority);
        journal_message(text);
        journal_add("JAILSSH_USER", whose.name);
        journal_add_number("JAILSSH_UID", whose.uid);
        journal_add(event.code ? "JAILSSH_REASON" : "JAILSSH_COMMAND", event.code ? event.code : FORWARDS);
        journal_add("JAILSSH_SESSION", reference);
        if (whose.jail)
            journal_add("JAILSSH_JAIL", whose.jail);
        if (*peer)
            journal_add("JAILSSH_PEER", peer);
        sent = journal_send();
        close(journal_descriptor());
    }
    pthread_mutex_unlock(&one_at_a_time);
    return sent;
}

void record_name(char *reference)
{
    unsigned long long number = 0;
    (void)!getrandom(&number, sizeof number, 0);
    snprintf(reference, REFERENCE_SIZE, "%016llx", number);
}

bool record_refusal(struct subject whose, const char *code, const char *reference, const char *peer, const char *text)
{
    return record(whose, (struct event){ EVENT_REFUSED, EVENT_REFUSED_ID, code, PRIORITY }, reference, peer, text);
}

static void forget(pam_handle_t *pamh, void *data, int status)
{
    (void)pamh, (void)status;
    free(data);
}

void record_session(pam_handle_t *pamh, struct subject whose, bool begins)
{
    static const struct event began = { EVENT_START, EVENT_START_ID, NULL, INFORMATION };
    static const struct event ended = { EVENT_END, EVENT_END_ID, NULL, INFORMATION };
    const void *kept = NULL;
    char *reference = begins ? calloc(1, REFERENCE_SIZE) : NULL;
    if (reference)
        record_name(reference);
    if (reference && pam_set_data(pamh, REFERENCE, reference, forget) != PAM_SUCCESS)
        free(reference);
    if (pam_get_data(pamh, REFERENCE, &kept) == PAM_SUCCESS)
        record(whose, begins ? began : ended, kept, record_client(pamh),
               begins ? "session begins: sshd forwards ports" : "session ends: sshd forwards no more ports");
}
