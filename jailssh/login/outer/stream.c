#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "channel.h"
#include "fail.h"
#include "pty.h"

enum { MOST = 4 }; /* descriptors of one message */
/* What a descriptor is, one letter each in the message that it comes with; the digits are those of a pipe. */
enum { IS_MASTER = 'T', IS_LOG = 'l', IS_PIPE = '0' };

union control {
    char space[CMSG_SPACE(MOST * sizeof(int))];
    struct cmsghdr align;
};

static void hand_over(int channel, char *letters, const int *fds, unsigned n)
{
    union control control = { { 0 } };
    struct iovec part = { letters, n + 1 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space };
    message.msg_controllen = (socklen_t)CMSG_SPACE(n * sizeof *fds);
    struct cmsghdr *head = &control.align;
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = (socklen_t)CMSG_LEN(n * sizeof *fds);
    memcpy(CMSG_DATA(head), fds, n * sizeof *fds);
    if (sendmsg(channel, &message, MSG_NOSIGNAL) != (ssize_t)n + 1)
        refuse(R_SETUP, "cannot pass the streams", errno);
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

void stream_give_master(int channel, int master)
{
    char letters[] = { SAYS_STREAMS, IS_MASTER, '\0' };
    hand_over(channel, letters, &master, 1);
}

/* A pipe between the halves; returns the outer half's end. */
static int half_pipe(int *command, bool to_command, bool packets)
{
    int ends[2];
    if ((packets ? socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) : pipe2(ends, O_CLOEXEC)) != 0)
        refuse(R_SETUP, "cannot create a pipe", errno);
    *command = ends[to_command ? 0 : 1];
    return ends[to_command ? 1 : 0];
}

void stream_open(const struct plan *plan, bool terminal, bool pipes, bool log, int channel, int ends[STREAMS])
{
    char letters[MOST + 1] = { SAYS_STREAMS };
    int fds[MOST];
    unsigned n = 0;
    bool relayed = !terminal && (pipes || plan_first(plan, OP_BANDWIDTH) || plan_first(plan, OP_IDLE));
    int slave = -1;
    if (terminal) {
        slave = pty_open(&fds[n]);
        letters[++n] = IS_MASTER;
    }
    for (int fd = 0; fd < STREAMS; fd++) {
        ends[fd] = slave;
        if (log && fd == ERRORS) {
            /* In packets, so that what was written at once can be told from what came after; and a socket, since a
             * pipe could be opened as a file, to write in it and to read from it (/proc/self/fd/2). */
            fds[n] = half_pipe(&ends[fd], false, true);
            letters[++n] = IS_LOG;
        } else if (relayed) {
            fds[n] = half_pipe(&ends[fd], fd == TO_COMMAND, false);
            letters[++n] = (char)(IS_PIPE + fd);
        }
    }
    if (n > 0)
        hand_over(channel, letters, fds, n);
}

bool stream_become(const int ends[STREAMS], bool terminal)
{
    for (int fd = 0; fd < STREAMS; fd++)
        if (ends[fd] >= 0 && dup2(ends[fd], fd) != fd)
            return false;
    return !terminal || ioctl(0, TIOCSCTTY, 0) == 0;
}

/* The place in OUT of what LETTER says, or NULL. */
static int *place_of(char letter, struct streams *out)
{
    if (letter == IS_MASTER)
        return &out->master;
    if (letter == IS_LOG)
        return &out->log;
    return letter >= IS_PIPE && letter < IS_PIPE + STREAMS ? &out->pipe[letter - IS_PIPE] : NULL;
}

long stream_receive(int channel, char *text, size_t size, struct streams *out)
{
    union control control;
    struct iovec part = { text, size - 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space
    };
    *out = (struct streams){ -1, { -1, -1, -1 }, -1 };
    long n = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    text[n > 0 ? n : 0] = '\0';
    struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (!head || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
        return n;
    for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= head->cmsg_len; i++) {
        int fd, *place = text[0] == SAYS_STREAMS && (long)i + 1 < n ? place_of(text[i + 1], out) : NULL;
        memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
        if (place && *place < 0)
            *place = fd;
        else
            close(fd);
    }
    return n;
}
