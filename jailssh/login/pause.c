/* No new logins while the administrator says so: a file of root's below RUN_DIR, gone after a reboot.  Its first line
 * is when that ends, in seconds since 1970 or 0 for never, the second what the user is told. */
#include "pause.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "fd.h"
#include "pin.h"

void pause_enforce(void)
{
    enum { MOST = 1000 };
    size_t size;
    int run = pin_open_run_directory();
    if (run < 0) /* nobody can have written it */
        return;
    errno = 0;
    char *text = fd_read_owned(run, "no-logins", 0, S_IWGRP | S_IWOTH, MOST, &size), *end;
    bool none = !text && errno == ENOENT;
    close(run);
    if (none)
        return;
    if (!text)
        deny(R_MAINTENANCE, "no new logins at the moment");
    long long until = strtoll(text, &end, 10);
    if (*end == '\n' && until != 0 && time(NULL) >= until)
        return;
    end += *end == '\n';
    end[strcspn(end, "\n")] = '\0';
    deny(R_MAINTENANCE, *end ? end : "no new logins at the moment");
}
