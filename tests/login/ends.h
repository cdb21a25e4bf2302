/* What sshd and a command hold, made for scheduler.c: the ends of pipes, sockets and terminals. */
#ifndef ENDS_H
#define ENDS_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "outer/pump.h"
#include "outer/stream.h"

enum { PIPES, SOCKETS, TERMINAL, KINDS, BLOCK = 70000, TURNS = 400, PATIENCE = 2000000 };
static const long long SECOND = 1000000000;

struct way {
    int writer, reader;        /* the ends of who is relayed; -1 closed */
    long long sent, got, most; /* bytes; as many may be sent */
    bool runs, writer_ended, reader_ended;
    struct pump pump;
};

static struct way ways[STREAMS];
static struct bucket in, out;
static long long now, begin;
static int kind, said, terminals[2]; /* the outer half's master, sshd's slave */
static unsigned long seed, state;

static __attribute__((format(printf, 1, 2), noreturn)) void wrong(const char *format, ...)
{
    va_list values;
    dprintf(said, "seed %lu, kind %d: ", seed, kind);
    va_start(values, format);
    vdprintf(said, format, values);
    va_end(values);
    dprintf(said, "\n");
    _exit(1);
}

static long long dice(long long sides)
{
    state = state * 6364136223846793005ul + 1442695040888963407ul;
    return (long long)(state >> 33) % sides;
}

static char byte_at(int which, long long at)
{
    return (char)(at * 31 + (at >> 8) * 7 + which);
}

static void checked(int result)
{
    if (result < 0)
        wrong("set-up: %s", strerror(errno));
}

static int kept(int fd)
{
    int high = fcntl(fd, F_DUPFD_CLOEXEC, 10);
    checked(high);
    close(fd);
    fcntl(high, F_SETFL, O_NONBLOCK);
    return high;
}

/* One direction's ends: sshd's becomes the descriptor WHICH; returns the outer half's other one. */
static int connect_way(int which)
{
    int theirs[2], command[2];
    struct way *way = &ways[which];
    bool to_command = which == TO_COMMAND;
    checked(kind == SOCKETS ? socketpair(AF_UNIX, SOCK_STREAM, 0, theirs) : pipe(theirs));
    checked(pipe(command));
    checked(dup2(theirs[to_command ? 0 : 1], which));
    close(theirs[to_command ? 0 : 1]);
    way->writer = kept(to_command ? theirs[1] : command[1]);
    way->reader = kept(to_command ? command[0] : theirs[0]);
    return command[to_command ? 1 : 0];
}

static void open_terminal(int ends[2])
{
    struct termios raw;
    checked(ends[0] = posix_openpt(O_RDWR | O_NOCTTY));
    checked(unlockpt(ends[0]));
    checked(ends[1] = ioctl(ends[0], TIOCGPTPEER, O_RDWR | O_NOCTTY));
    checked(tcgetattr(ends[1], &raw));
    cfmakeraw(&raw);
    checked(tcsetattr(ends[1], TCSANOW, &raw));
}

static void connect_terminals(void)
{
    int theirs[2], command[2];
    open_terminal(theirs);
    open_terminal(command);
    checked(dup2(theirs[1], 1));
    /* As sshd does it, or opened once more, as by `enter </dev/tty`: then that one blocks. */
    int typed = dice(2) ? dup(theirs[1]) : ioctl(theirs[0], TIOCGPTPEER, O_RDWR | O_NOCTTY);
    checked(typed);
    checked(dup2(typed, 0));
    close(typed);
    terminals[0] = kept(command[0]);
    terminals[1] = kept(theirs[1]); /* non-blocking, as the outer half makes its own */
    ways[TO_COMMAND].writer = ways[OUTPUT].reader = kept(theirs[0]);
    ways[TO_COMMAND].reader = ways[OUTPUT].writer = kept(command[1]);
}

#endif
