/* What the outer half tells the user and the journal. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "fail.h"
#include "journal.h"
#include "outer.h"

/* The parts of the message: what follows its letter, separated by newlines. */
static void parts(char *message, const char *part[3])
{
    for (int i = 0; i < 3; i++) {
        part[i] = message;
        message += strcspn(message, "\n");
        if (*message)
            *message++ = '\0';
    }
}

bool report_start(struct outer *o, char *message)
{
    const char *part[3];
    char text[600];
    parts(message + 1, part);
    snprintf(text, sizeof text, "%s runs by rule %s", o->request->command ? "command" : "interactive login", part[0]);
    journal_keep("JAILSSH_RULE", part[0]);
    journal_keep("JAILSSH_PLUGIN", part[1]);
    journal_begin(EVENT_START, EVENT_START_ID, 6);
    journal_message(text);
    if (o->request->command)
        journal_add("JAILSSH_COMMAND", o->request->command);
    o->started = journal_send();
    return o->started;
}

static void tell_user(const struct outer *o, int code, const char *reason, const char *detail)
{
    const char *const *about = (const char *const *)plan_first(o->plan, OP_MESSAGE);
    if (code == EXIT_REFUSED || code == EXIT_NOT_FOUND)
        fail_tell();
    else if (strcmp(reason, "no-terminal") == 0 || strcmp(reason, "not-served") == 0)
        fail_say("jailssh: %s\n", detail);
    else if (strcmp(reason, "address") == 0 || strcmp(reason, "hours") == 0 || strcmp(reason, "expired") == 0)
        fail_say("jailssh: not allowed: %s\n", detail);
    else if (strncmp(detail, "repository ", strlen("repository ")) == 0) /* the same whether it is there or not */
        fail_say("jailssh: not allowed: no such repository, or no right to it\n");
    else if (!o->request->command)
        fail_say("Hi %s! You have logged in, but %s.\n", o->plan->name, about[0]);
    else
        fail_say("jailssh: not allowed: %s\n", about[0]);
}

int report_end(struct outer *o)
{
    const char *part[3] = { "", "", "" };
    char what = o->message[0], text[400];
    int code, status;
    if (what)
        parts(o->message + 1, part);
    if (what == SAYS_ENDED) {
        code = (int)strtol(part[0], NULL, 10) & 0xff;
    } else if (what) {
        code = what == SAYS_DENIED ? EXIT_DENIED : what == SAYS_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_REFUSED;
        tell_user(o, code, part[0], part[1]);
        if (what == SAYS_DENIED && *part[2]) /* the rule that nearly matched */
            journal_keep("JAILSSH_RULE", part[2]);
        fail_log(code, part[0], part[1], o->request->command);
        return code;
    } else { /* the jail was killed, by us or by the kernel */
        if (waitpid(o->jail, &status, 0) != o->jail)
            refuse("setup", "cannot learn how the session ended", errno);
        code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    int n = snprintf(text, sizeof text, "session ended with status %d%s%s%s", code, o->reason ? " (" : "",
                     o->reason ? o->reason : "", o->reason ? ")" : "");
    if (o->log.lost > 0)
        snprintf(text + n, sizeof text - (size_t)n, "; %llu lines of its log are lost", o->log.lost);
    journal_begin(EVENT_END, EVENT_END_ID, 6);
    journal_message(text);
    if (!o->started && o->request->command) /* killed before it could say what it runs */
        journal_add("JAILSSH_COMMAND", o->request->command);
    journal_add_number("JAILSSH_EXIT", code);
    if (o->log.lost > 0)
        journal_add_number("JAILSSH_LOST", (long long)o->log.lost);
    if (o->reason)
        journal_add("JAILSSH_REASON", o->reason);
    journal_add_number("JAILSSH_DURATION_USEC", (outer_clock() - o->began) / 1000);
    journal_add("JAILSSH_CPU_USEC", part[1]);
    journal_add("JAILSSH_MAXRSS", part[2]);
    journal_send();
    return code;
}
