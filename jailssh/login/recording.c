#include "recording.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "fail.h"
#include "fd.h"
#include "journal.h"

static int file = -1;

void record_open(const struct plan *plan, const char *id)
{
    char *const *args = plan_first(plan, OP_RECORD);
    char name[300];
    if (!args || !plan_says(plan, OP_PTY, "yes") || !isatty(0))
        return;
    snprintf(name, sizeof name, "%s.%s.cast", plan->name, id);
    int dir = fd_walk(AT_FDCWD, args[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC, FD_ROOT_ONLY);
    if (dir < 0)
        refuse(R_RECORDING, "cannot open the directory of the recordings", errno);
    file = openat(dir, name, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        refuse(R_RECORDING, "cannot create the recording", errno);
    close(dir);
    journal_keep("JAILSSH_RECORDING", name);
}

int record_descriptor(void)
{
    return file;
}
