/* jailssh-relay: takes what jails say to syslog(3) and to the journal, and hands it to the host's journal with the name
 * of who has said it.  It has no power: root makes the sockets and brings them here. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "notify.h"
#include "parcel.h"
#include "sink.h"
#include "state.h"
#include "take.h"

/* Sockets that are looked at in one turn; milliseconds between two looks at what is to be told; until the
 * sockets are packed anew; what a queue that nobody takes gets at the end, in seconds. */
enum { TURN = 64, LOOKS = 1000, PACKS = 100, LAST_TRY = 5 };
/* What an event is about; for an account its place is in the upper half. */
enum about { CONTROL, CONNECTION, SIGNALS, ACCOUNT, SINK };

static int waiting = -1, control = -1, kept_state = -1;
static int64_t unpacked; /* since when sockets are as the service manager does not know them, 0 for not at all */

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static uint64_t event_of(int fd, enum about about, uint32_t place)
{
    return (uint64_t)place << 32 | (uint64_t)about << 28 | (uint32_t)fd;
}

static bool watch(int fd, enum about about, uint32_t place)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = event_of(fd, about, place) };
    return epoll_ctl(waiting, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void changed(struct account *of, int fd, bool comes)
{
    if (!unpacked)
        unpacked = now();
    /* What comes from nobody knows whom waits in the socket until root has said it. */
    if (comes && of->known)
        watch(fd, ACCOUNT, (uint32_t)(of - state_accounts()));
    if (!comes)
        close(fd);
}

static void find_own(int fd, const char *name)
{
    if (strcmp(name, "control") == 0)
        control = fd;
    else if (strcmp(name, "state") == 0)
        kept_state = fd;
}

static void take_kept(uid_t uid, int fd)
{
    control_take_kept(uid, fd, changed);
}

static void find_kept(int fd, const char *name)
{
    if (fd != control && fd != kept_state && !parcel_open(name, fd, take_kept))
        close(fd);
}

static void accept_root(void)
{
    int fd = accept4(control, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0 && !(control_is_root(fd) && watch(fd, CONNECTION, 0)))
        close(fd);
}

static void on_event(const struct epoll_event *event, int64_t time, bool *ends)
{
    int fd = (int)(event->data.u64 & 0xfffffff);
    struct account *of = &state_accounts()[event->data.u64 >> 32];
    switch ((enum about)(event->data.u64 >> 28 & 15)) {
    case CONTROL:
        accept_root();
        break;
    case CONNECTION:
        if (!control_serve(fd, changed))
            close(fd);
        break;
    case SIGNALS:
        *ends = true;
        break;
    case ACCOUNT:
        if (state_holds(of, fd)) /* what happened before in this turn may have closed it */
            take_from(of, fd, time);
        break;
    case SINK:
        sink_has_room();
        break;
    }
}

static bool report(int64_t time)
{
    bool left = false;
    for (struct account *of = state_accounts(); of < state_accounts() + ACCOUNTS_MOST; of++)
        if (of->known && take_report(of, time))
            left = true;
    return left;
}

/* Until a signal ends it.  What was dropped is told within a second, and not looked for while nothing comes. */
static void serve(void)
{
    struct epoll_event events[TURN];
    int64_t next = 0;
    bool ends = false, stirred = true;
    while (!ends) {
        int wait = sink_flush(now()), most = unpacked ? PACKS : stirred ? LOOKS : -1;
        if (most >= 0 && (wait < 0 || wait > most))
            wait = most;
        int count = epoll_wait(waiting, events, TURN, wait);
        int64_t time = now();
        for (int i = 0; i < count; i++)
            on_event(&events[i], time, &ends);
        if (unpacked && time - unpacked > PACKS * INT64_C(1000000)) {
            parcel_pack();
            unpacked = 0;
        }
        stirred = stirred || count > 0;
        if (stirred && time >= next) {
            stirred = report(time);
            next = time + LOOKS * INT64_C(1000000);
        }
    }
}

/* What waits is kept with the sockets; where nobody keeps it, it gets a last try. */
static void end(void)
{
    if (unpacked)
        parcel_pack();
    notify("STOPPING=1", -1);
    for (int64_t until = now() + LAST_TRY * INT64_C(1000000000); sink_flush(now()) >= 0 && now() < until;)
        usleep(20000);
}

static int listen_to_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int fail(const char *what)
{
    fprintf(stderr, "jailssh-relay: %s: %s\n", what, strerror(errno));
    return 1;
}

int main(void)
{
    if (geteuid() == 0) {
        fputs("jailssh-relay: must not be run as root\nhint: systemctl start jailssh-relay, or: jailsshd relay\n",
              stderr);
        return 1;
    }
    (void)prctl(PR_SET_DUMPABLE, 0);
    notify_given(find_own);
    if (control < 0) {
        fputs("jailssh-relay: got no socket to listen at\nhint: systemctl start jailssh-relay.socket\n", stderr);
        return 1;
    }
    int fd = state_open(kept_state), signals = listen_to_signals();
    waiting = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0 || waiting < 0 || signals < 0 || !take_prepare())
        return fail("cannot get memory");
    sink_wakes(waiting, event_of(0, SINK, 0));
    if (fd != kept_state)
        notify_keep("state", fd);
    notify_given(find_kept);
    if (!watch(control, CONTROL, 0) || !watch(signals, SIGNALS, 0))
        return fail("cannot wait for events");
    notify("READY=1", -1);
    serve();
    end();
    return 0;
}
