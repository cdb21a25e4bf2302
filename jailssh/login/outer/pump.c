/* How much may pass, and one direction of a relay. */
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "stream.h"

enum { PARTS = 8, WORTH = 50 };              /* a second's: at once; worth a wake-up */
static const long long FASTEST = 8000000000; /* beyond it a second's bytes times SECOND do not fit */

static long long at_least_one(long long bytes)
{
    return bytes > 0 ? bytes : 1;
}

void bucket_fill(struct bucket *bucket, long long now)
{
    long long passed = now - bucket->at, most = at_least_one(bucket->rate / PARTS);
    if (bucket->rate > FASTEST)
        bucket->rate = 0;
    if (bucket->rate == 0)
        return;
    long long gain = passed < SECOND ? passed * bucket->rate / SECOND : most;
    if (gain == 0)
        return;
    bucket->left += gain;
    bucket->at += passed < SECOND ? gain * SECOND / bucket->rate : passed; /* a part of a byte stays for later */
    if (bucket->left > most)
        bucket->left = most;
}

long long bucket_wait(const struct bucket *bucket)
{
    long long missing = at_least_one(bucket->rate / WORTH) - bucket->left;
    return bucket->rate == 0 || missing <= 0 ? 0 : at_least_one(missing * SECOND / bucket->rate);
}

size_t bucket_room(const struct bucket *bucket, size_t most)
{
    return bucket->rate == 0 || bucket->left >= (long long)most ? most : (size_t)bucket->left;
}

static bool is_socket(int fd)
{
    struct stat about;
    return fstat(fd, &about) == 0 && S_ISSOCK(about.st_mode);
}

void pump_start(struct pump *pump, int which, int ours, struct bucket *bucket)
{
    fcntl(ours, F_SETFL, O_NONBLOCK);
    pump->from = which == TO_COMMAND ? which : ours;
    pump->to = which == TO_COMMAND ? ours : which;
    pump->way = fcntl(pump->to, F_GETFL) & O_NONBLOCK ? BY_WRITE : is_socket(which) ? BY_SEND : BY_PIECES;
    pump->in_pieces = pump->from == ours && isatty(ours);
    pump->bucket = bucket;
    pump->state = PUMP_EMPTY;
}

void pump_end(struct pump *pump)
{
    pump->from = pump->to = -1;
    pump->state = PUMP_ENDED;
}

struct pollfd pump_wants(const struct pump *pump)
{
    if (pump->state == PUMP_HOLDS)
        return (struct pollfd){ .fd = pump->to, .events = POLLOUT };
    bool reads = pump->state == PUMP_EMPTY && bucket_wait(pump->bucket) == 0;
    return (struct pollfd){ .fd = reads ? pump->from : -1, .events = POLLIN };
}

long long pump_wait(const struct pump *pump)
{
    return pump->state == PUMP_EMPTY ? bucket_wait(pump->bucket) : 0;
}

/* Sshd's pipes and sockets may be others' too, so they are not made non-blocking. */
static ssize_t put(const struct pump *pump)
{
    const char *data = pump->buffer + pump->done;
    size_t size = pump->have - pump->done;
    struct pollfd target = { .fd = pump->to, .events = POLLOUT };
    if (pump->way == BY_SEND)
        return send(pump->to, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (pump->way == BY_WRITE)
        return write(pump->to, data, size);
    errno = EAGAIN; /* what is written to the same pipe through another descriptor may have filled it just now */
    return poll(&target, 1, 0) == 1 ? write(pump->to, data, size < PIPE_BUF ? size : PIPE_BUF) : -1;
}

static bool try_again(void)
{
    return errno == EAGAIN || errno == EINTR;
}

static enum pumped give(struct pump *pump)
{
    while (pump->done < pump->have) {
        ssize_t n = put(pump);
        if (n < 0)
            return try_again() ? PUMP_GOES : PUMP_NO_TARGET;
        pump->moved += (size_t)n;
        pump->done += (size_t)n;
    }
    pump->state = PUMP_EMPTY;
    return PUMP_GOES;
}

static enum pumped take(struct pump *pump)
{
    size_t room = bucket_room(pump->bucket, sizeof pump->buffer);
    if (room == 0) /* another direction has emptied the bucket since poll(2); reading nothing would look like the end */
        return PUMP_GOES;
    ssize_t n;
    pump->done = pump->have = 0;
    do {
        n = read(pump->from, pump->buffer + pump->have, room - pump->have);
        pump->have += n > 0 ? (size_t)n : 0;
    } while (n > 0 && pump->in_pieces && pump->have < room);
    if (pump->have == 0)
        return n < 0 && try_again() ? PUMP_GOES : PUMP_NO_SOURCE;
    pump->moved += pump->have;
    pump->bucket->left -= (long long)pump->have;
    pump->state = PUMP_HOLDS;
    return PUMP_GOES;
}

enum pumped pump_step(struct pump *pump)
{
    if (pump->state == PUMP_ENDED)
        return PUMP_GOES;
    return pump->state == PUMP_HOLDS ? give(pump) : take(pump);
}
