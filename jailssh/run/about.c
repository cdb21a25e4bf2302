#include "about.h"

#include <unistd.h>

#include "fail.h"
#include "groups.h"

static const char *now = "";

void about(const char *what)
{
    now = what;
}

/* Who asks is told what it is: nothing here is another's secret. */
void about_leave(int code, enum reason reason, const char *detail)
{
    (void)reason;
    fail_say("jailssh: run: %s%s%s\n", now, *now ? ": " : "", detail);
    groups_give_up();
    _exit(code);
}
