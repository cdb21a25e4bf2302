/* An SFTP client is told in its own protocol why nothing is served: sshd drops what a subsystem writes to its standard
 * error, and the client would say "Connection closed", or wait.  The packets: draft-ietf-secsh-filexfer-02. */
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fail.h"
#include "sftp.h"

enum { SSH_FXP_INIT = 1, SSH_FXP_VERSION = 2, SSH_FXP_STATUS = 101, SSH_FX_PERMISSION_DENIED = 3, PROTOCOL = 3 };
enum { HEAD = 9, MOST = 256 * 1024 }; /* length, type and version or number of a request; what sftp-server(8) takes */
enum { PATIENCE = 5 };                /* seconds for all of it: the session holds its place for so long */

bool sftp_is_wanted(const struct request *request)
{
    const char *command = request->command;
    if (!command || request->jail)
        return false;
    size_t n = strcspn(command, " ");
    const char *name = memrchr(command, '/', n);
    name = name ? name + 1 : command;
    n -= (size_t)(name - command);
    return (n == sizeof "sftp-server" - 1 && memcmp(name, "sftp-server", n) == 0) ||
           (n == sizeof "internal-sftp" - 1 && memcmp(name, "internal-sftp", n) == 0);
}

static bool take(unsigned char *into, size_t size, long long until)
{
    while (size > 0) {
        struct pollfd client = { .fd = 0, .events = POLLIN };
        long long rest = (until - clock_now()) / 1000000;
        if (rest <= 0 || poll(&client, 1, (int)rest) != 1)
            return false;
        ssize_t n = read(0, into, size);
        if (n <= 0)
            return false;
        into += n;
        size -= (size_t)n;
    }
    return true;
}

static uint32_t number(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static unsigned char *put(unsigned char *at, size_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (unsigned char)(value >> shift);
    return at;
}

/* The next packet's type, and in HEAD how it begins; 0: none comes. */
static int next(unsigned char head[HEAD], long long until)
{
    unsigned char rest[1024];
    if (!take(head, HEAD, until) || number(head) < HEAD - 4 || number(head) > MOST)
        return 0;
    for (size_t left = number(head) - (HEAD - 4), n; left > 0; left -= n) {
        n = left < sizeof rest ? left : sizeof rest;
        if (!take(rest, n, until))
            return 0;
    }
    return head[4];
}

static bool answer(unsigned char *packet, const unsigned char *end, unsigned char type)
{
    struct pollfd client = { .fd = 1, .events = POLLOUT };
    size_t size = (size_t)(end - packet);
    put(packet, size - 4);
    packet[4] = type;
    /* A client that reads nothing is not waited for: a pipe that can be written to takes a packet of ours at once. */
    return poll(&client, 1, 0) == 1 && write(1, packet, size) == (ssize_t)size;
}

void sftp_tell(void)
{
    unsigned char head[HEAD], packet[PIPE_BUF], *at = put(packet + 5, PROTOCOL);
    size_t length = strcspn(fail_said, "\n");
    const size_t most = sizeof packet - HEAD - 12; /* a code and the lengths of two texts */
    if (length > most)
        length = most;
    long long until = clock_now() + PATIENCE * SECOND;
    if (next(head, until) != SSH_FXP_INIT || !answer(packet, at, SSH_FXP_VERSION))
        return;
    while (next(head, until)) {
        at = put(put(put(packet + 5, number(head + 5)), SSH_FX_PERMISSION_DENIED), length);
        memcpy(at, fail_said, length);
        if (!answer(packet, put(at + length, 0), SSH_FXP_STATUS)) /* the last: no word on its language */
            return;
    }
}
