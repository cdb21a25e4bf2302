/* jailssh-login: the login shell and forced command of jailed accounts, and the way into a jail for others.  The order
 * below is the design; README.md says why each step stands where it stands. */
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "creds.h"
#include "env.h"
#include "fail.h"
#include "filter.h"
#include "inner.h"
#include "jail.h"
#include "journal.h"
#include "keeper.h"
#include "load.h"
#include "mount.h"
#include "nojournal.h"
#include "outer/outer.h"
#include "pause.h"
#include "recording.h"
#include "slot.h"
#include "view.h"

static void new_session_id(char id[17])
{
    unsigned long long number = 0;
    if (getrandom(&number, sizeof number, 0) != sizeof number)
        refuse(R_SETUP, "cannot get random numbers", errno);
    snprintf(id, 17, "%016llx", number);
}

/* From here on records have the session and who asks for it. */
static void name_session(const struct request *request)
{
    char uid[16];
    snprintf(uid, sizeof uid, "%u", getuid());
    fail_name_session(request->session);
    journal_keep("JAILSSH_SESSION", request->session);
    journal_keep("JAILSSH_UID", uid);
    if (*request->peer)
        journal_keep("JAILSSH_PEER", request->peer);
    if (request->jail)
        journal_keep("JAILSSH_ENTERED", request->jail);
}

static void make_channel(int channel[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0)
        refuse(R_SETUP, "cannot create a socket pair", errno);
}

int main(int argc, char **argv)
{
    static struct request request;
    static struct plan plan;
    struct jail jail = { .pidfd = -1 };
    int channel[2];
    pid_t parent = getppid();
    if (argc < 1 || !argv[0])
        return EXIT_NOT_FOUND;
    fail_by_name(argv[0]);
    creds_sanitise(false);
    bool known_way_in = request_take(argc, argv, environ, &request);
    new_session_id(request.session);
    bool journal = journal_connect();
    name_session(&request);
    uid_t uid = creds_identity();
    if (!journal)
        nojournal_open();
    view_leave();
    if (!known_way_in)
        refuse(R_ARGUMENTS, "unexpected arguments for a login", 0);
    load_plan(uid, &request, &plan);
    pause_enforce();
    if (!journal && plan_says(&plan, OP_JOURNAL, "require"))
        refuse(R_JOURNAL, "journal is not available, but require_journal is set", 0);
    slot_take(&plan, request.key);
    record_open(&plan, request.session);
    jail.image = mount_open_image(&plan);
    filter_read(&plan);
    make_channel(channel);
    pid_t pid =
        plan_first(&plan, OP_LINGER) ? keeper_join(&plan, request.key, channel, &jail) : jail_clone(&plan, &jail);
    close(channel[pid == 0 ? 0 : 1]);
    if (pid == 0)
        inner_run(&plan, &request, channel[1], &jail);
    jail_close(&plan, &jail);
    outer_become(&plan, &request);
    return outer_run(&plan, &request, channel[0], pid, jail.pidfd, parent);
}
