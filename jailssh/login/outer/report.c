/* What the outer half tells the user and the journal. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "channel.h"
#include "fail.h"
#include "journal.h"
#include "report.h"
#include "sftp.h"

bool report_start(struct outer *o, char *message)
{
    const char *part[3];
    char text[600];
    channel_parts(message, part);
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

/* The directories of the rule with this name, those in the home as ~. */
static void add_directories(const struct plan *plan, const char *name, char *text, size_t size)
{
    const char *home = plan_first(plan, OP_HOME)[0];
    size_t at = 0, n = strlen(text), length = strlen(home);
    while (at < plan->count && (plan->records[at].verb != OP_RULE || strcmp(plan->records[at].args[0], name) != 0))
        at++;
    const char *between = " is outside of ";
    for (char *const *root; at < plan->count && n < size && (root = rule_next(plan, OP_BELOW, &at)); between = ", ") {
        bool in_home = path_is_below(root[0], home);
        n += (size_t)snprintf(text + n, size - n, "%s%s%s", between, in_home ? "~" : "",
                              root[0] + (in_home ? length : 0));
    }
}

static void tell_user(const struct outer *o, enum reason reason, const char *detail, const char *rule)
{
    static const char *const why[REASON_COUNT] = {
        [R_OPTION_MISSING] = " is missing", [R_OPTION_TWICE] = " is given twice", [R_VALUE_MISSING] = " has no value"
    };
    char text[1024];
    const char *const *about = (const char *const *)plan_first(o->plan, OP_MESSAGE);
    switch (reason_audience(reason)) {
    case TELL_SENTENCE:
        fail_say("jailssh: %s\n", detail);
        break;
    case TELL_NO_REPOSITORY: /* the same whether it is there or not */
        fail_say("jailssh: repository not found or access denied\n");
        break;
    case TELL_DETAIL:
    case TELL_OUTSIDE:
        snprintf(text, sizeof text, "%s%s", detail, why[reason] ? why[reason] : "");
        if (reason_audience(reason) == TELL_OUTSIDE)
            add_directories(o->plan, rule, text, sizeof text);
        fail_tell_denied(text, about[0]);
        break;
    case TELL_PURPOSE:
        if (o->request->command)
            fail_say("jailssh: command not allowed; %s\n", about[0]);
        else if (o->request->jail)
            fail_say("jailssh: jail has no shell; %s\n", about[0]);
        else
            fail_say("jailssh: login succeeded, but no shell is allowed; %s\n", about[0]);
        break;
    case TELL_COMMAND:
        fail_tell(o->request->command ? "run this command" : "start this session");
        break;
    default:
        fail_tell("start this session");
    }
}

int report_end(struct outer *o)
{
    const char *part[3] = { "", "", "" };
    char what = o->message[0], text[400];
    int code, status;
    if (what)
        channel_parts(o->message, part);
    if (what == SAYS_ENDED) {
        code = (int)strtol(part[0], NULL, 10) & 0xff;
    } else if (what) {
        code = what == SAYS_DENIED ? EXIT_DENIED : what == SAYS_NOT_FOUND ? EXIT_NOT_FOUND : EXIT_REFUSED;
        enum reason reason = reason_of(part[0]);
        tell_user(o, reason, part[1], part[2]);
        if (what == SAYS_NOT_FOUND) { /* the program, and why it does not run */
            snprintf(text, sizeof text, "%s: %s", part[1], part[2]);
            part[1] = text;
        }
        if (what == SAYS_DENIED && *part[2]) /* the rule that nearly matched */
            journal_keep("JAILSSH_RULE", part[2]);
        fail_log(code, reason, part[1], o->request->command);
        if (sftp_is_wanted(o->request))
            sftp_tell();
        return fail_status(code, reason);
    } else { /* the jail was killed, by us or by the kernel */
        if (waitpid(o->jail, &status, 0) != o->jail)
            refuse(R_SETUP, "cannot read the exit status of the session", errno);
        code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    int n = snprintf(text, sizeof text, "session ended with status %d%s%s%s", code, o->reason ? " (" : "",
                     reason_code(o->reason), o->reason ? ")" : "");
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
        journal_add("JAILSSH_REASON", reason_code(o->reason));
    journal_add_number("JAILSSH_DURATION_USEC", (clock_now() - o->began) / 1000);
    journal_add("JAILSSH_CPU_USEC", part[1]);
    journal_add("JAILSSH_MAXRSS", part[2]);
    journal_send();
    return fail_status(code, o->reason);
}
