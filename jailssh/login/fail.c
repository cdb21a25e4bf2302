#include "fail.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "journal.h"
#include "nojournal.h"

static const char *session = "none";
static fail_exit *leave_by;
static bool is_mail;

void fail_by_name(const char *name)
{
    is_mail = strcmp(name, MAIL_NAME) == 0;
}

/* Not allowed now, or ended by us. */
static bool passes(enum reason reason)
{
    static const enum reason passing[] = { R_MAINTENANCE, R_SESSIONS, R_SESSIONS_OF_KEY, R_HOURS, R_DURATION, R_IDLE };
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (passing[i] == reason)
            return true;
    return false;
}

/* What may end well at another time: refused, and what is ended by a signal too, as kick and limits do. */
int fail_status(int code, enum reason reason)
{
    enum { SIGNALLED = 128 };
    if (!is_mail || code == 0)
        return code;
    if (code == EXIT_REFUSED || code > SIGNALLED || passes(reason))
        return EX_TEMPFAIL;
    return reason == R_NONE ? code : code == EXIT_DENIED ? EX_NOPERM : EX_UNAVAILABLE;
}

void fail_set_exit(fail_exit *leave)
{
    leave_by = leave;
}

void fail_name_session(const char *id)
{
    session = id;
}

char fail_said[PIPE_BUF]; /* what a pipe that can be written to takes at once */

void fail_say(const char *format, ...)
{
    struct pollfd user = { .fd = 2, .events = POLLOUT };
    va_list values;
    va_start(values, format);
    (void)vsnprintf(fail_said, sizeof fail_said, format, values);
    va_end(values);
    if (poll(&user, 1, 0) == 1)
        (void)!write(2, fail_said, strlen(fail_said));
}

void fail_tell(const char *what)
{
    fail_say("jailssh: cannot %s; give your administrator reference %.8s\n", what, session);
}

void fail_tell_denied(const char *detail, const char *what)
{
    fail_say("jailssh: command not allowed: %s; %s; reference %.8s\n", detail, what, session);
}

void fail_log(int code, enum reason reason, const char *detail, const char *command)
{
    char text[600];
    bool denied = code == EXIT_DENIED;
    const char *what = denied ? (command ? "command denied" : "login denied") : "login refused";
    snprintf(text, sizeof text, "%s (%s): %s", what, reason_code(reason), detail);
    if (denied)
        journal_begin(EVENT_DENIED, EVENT_DENIED_ID, reason_priority(reason));
    else
        journal_begin(EVENT_REFUSED, EVENT_REFUSED_ID, reason_priority(reason));
    journal_message(text);
    journal_add("JAILSSH_REASON", reason_code(reason));
    journal_add_number("JAILSSH_EXIT", code);
    if (command)
        journal_add("JAILSSH_COMMAND", command);
    if (!journal_send())
        nojournal_say(session, reason_priority(reason), text);
}

noreturn void refuse(enum reason reason, const char *what, int error)
{
    char detail[512];
    snprintf(detail, sizeof detail, "%s%s%s", what, error ? ": " : "", error ? strerror(error) : "");
    if (leave_by)
        leave_by(EXIT_REFUSED, reason, detail);
    fail_tell("start this session");
    fail_log(EXIT_REFUSED, reason, detail, NULL);
    _exit(fail_status(EXIT_REFUSED, reason));
}

noreturn void deny(enum reason reason, const char *detail)
{
    if (leave_by)
        leave_by(EXIT_DENIED, reason, detail);
    fail_say("jailssh: %s\n", detail);
    fail_log(EXIT_DENIED, reason, detail, NULL);
    _exit(fail_status(EXIT_DENIED, reason));
}
