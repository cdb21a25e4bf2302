/* Jails that outlive their logins: a keeper, the first process of its pid namespace, holds one set of namespaces for
 * all logins of an account with one plan.  It is found again by a record of root's below RUN_DIR with its pid, when it
 * was started and the plan's serial.  A process is opened as its directory in /proc, which is of that process alone:
 * what has its number later is not there. */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel.h"
#include "creds.h"
#include "fail.h"
#include "fd.h"
#include "inner.h"
#include "pin.h"
#include "spaces.h"

enum { RECORD = 49 }; /* bytes, always as many */

/* The record of a keeper with this plan; its start is field 22 of its status (proc_pid_stat(5)). */
static bool describe(const struct plan *plan, int process, const char *pid, char record[RECORD + 1])
{
    char text[SPACES_STAT];
    const char *start = spaces_start(process, text);
    return start && snprintf(record, RECORD + 1, "%-10.10s %-20.*s %.16s\n", pid, (int)strcspn(start, " "), start,
                             plan->serial) == RECORD;
}

/* The keeper that the record tells of, if it is there and has this plan; else -1. */
static int find(const struct plan *plan, int records, const char *name, int proc)
{
    char expected[RECORD + 1], pid[RECORD + 1];
    size_t size;
    char *record = fd_read_owned(records, name, 0, S_IRWXG | S_IRWXO, RECORD, &size);
    if (!record)
        return -1;
    snprintf(pid, sizeof pid, "%.*s", (int)strcspn(record, " /"), record);
    int process = spaces_process(proc, pid);
    if (process >= 0 && describe(plan, process, pid, expected) && strcmp(record, expected) == 0)
        return process;
    close(process);
    return -1;
}

/* Make a keeper and wait until it has built its jail.  The account can stop or kill it, where a process of the
 * account's is in no jail. */
static int make(const struct plan *plan, struct jail *jail, const int channel[2], char number[12], int proc)
{
    enum { PATIENCE_MS = 30000 };
    char said[CHANNEL_MAX] = "";
    const char *part[3];
    pid_t pid = jail_clone(plan, jail);
    if (pid == 0)
        inner_keep(plan, channel[1], jail);
    struct pollfd ready[] = { { .fd = channel[0], .events = POLLIN }, { .fd = jail->pidfd, .events = POLLIN } };
    if (poll(ready, 2, PATIENCE_MS) <= 0 || !ready[0].revents || recv(channel[0], said, sizeof said - 1, 0) <= 0)
        refuse(R_SETUP, "keeper of the jail does not start", 0);
    close(jail->pidfd);
    channel_parts(said, part);
    if (said[0] != SAYS_ALLOWED)
        refuse(reason_of(part[0]), part[1], 0);
    snprintf(number, 12, "%d", pid);
    return spaces_process(proc, number);
}

/* In one write(2), and always as long: who reads another one meanwhile finds no keeper in it. */
static void write_record(const struct plan *plan, int records, const char *name, int process, const char *pid)
{
    char record[RECORD + 1];
    int file = openat(records, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (file < 0 || !describe(plan, process, pid, record) || write(file, record, RECORD) != RECORD)
        refuse(R_SETUP, "cannot record the keeper of the jail", errno);
    close(file);
}

/* Clone the session's first process in the namespaces of the keeper; -1 with errno where it has ended. */
static pid_t join(int keeper, struct jail *jail)
{
    int fds[SPACES];
    if (!spaces_open(keeper, fds) || !spaces_enter(fds))
        return -1;
    if (!pin_is_root(jail->image))
        refuse(R_IMAGE, "root of the kept jail is not its image", 0);
    return jail_join(jail);
}

pid_t keeper_join(const struct plan *plan, const char *key, const int channel[2], struct jail *jail)
{
    char name[256], pid[12];
    int here[SPACES], records = pin_open_directory("linger");
    int proc = fd_walk(AT_FDCWD, "/proc", O_RDONLY | O_DIRECTORY, FD_ANY);
    int self = spaces_process(proc, "self");
    if (records < 0 || proc < 0 || !spaces_open(self, here))
        refuse(R_SETUP, "cannot look for the keeper of the jail", errno);
    snprintf(name, sizeof name, "%u.%s", plan->uid, key);
    int keeper = find(plan, records, name, proc);
    pid_t first = -1;
    if (keeper >= 0) {
        creds_prepare();
        first = join(keeper, jail);
        if (first < 0 && !spaces_enter(here))
            refuse(R_KERNEL, "cannot return from the namespaces of the jail", errno);
    }
    if (first < 0) {
        keeper = make(plan, jail, channel, pid, proc);
        write_record(plan, records, name, keeper, pid);
        first = join(keeper, jail);
    }
    if (first < 0)
        refuse(R_KERNEL, "cannot enter the namespaces of the jail", errno);
    const int held[] = { here[0], here[1], here[2], here[3], here[4], self, keeper, proc, records };
    for (size_t i = 0; first > 0 && i < sizeof held / sizeof *held; i++)
        close(held[i]); /* the first process closes all that it does not keep */
    return first;
}
