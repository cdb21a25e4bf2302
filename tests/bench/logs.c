/* Both ends of a relay of logs, for how fast it is.
 *
 *   logs send PATH COUNT   sends so many messages of ordinary length; prints the longest wait for one in microseconds
 *   logs sink PATH COUNT   counts messages, several of which may come at once, until all or none for two seconds;
 * prints how many there were and the nanoseconds from the first to the last */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static char buffer[256 << 10];

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ll + time.tv_nsec;
}

static int sends(int fd, const struct sockaddr_un *to, long count)
{
    long long longest = 0;
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)
        return 1;
    for (long i = 0; i < count; i++) {
        int n = snprintf(buffer, sizeof buffer,
                         "<13>Nov 28 21:00:00 worker[123]: message %ld of a usual length, as they are", i);
        long long before = now();
        if (send(fd, buffer, (size_t)n, 0) != n)
            return 1;
        long long took = now() - before;
        longest = took > longest ? took : longest;
    }
    printf("%lld\n", longest / 1000);
    return 0;
}

static int sinks(int fd, const struct sockaddr_un *at, long count)
{
    const struct timeval patience = { .tv_sec = 2 };
    long long first = 0, last = 0;
    long found = 0;
    unlink(at->sun_path);
    if (bind(fd, (const struct sockaddr *)at, sizeof *at) != 0 || chmod(at->sun_path, 0666) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        return 1;
    while (found < count) {
        ssize_t n = recv(fd, buffer, sizeof buffer - 1, 0);
        if (n < 0 && (found > 0 || errno != EAGAIN))
            break;
        if (n <= 0)
            continue;
        buffer[n] = '\0';
        last = now();
        first = first ? first : last;
        for (char *text = buffer; (text = strstr(text, ": message ")); text++)
            found++;
        for (char *text = buffer; (text = strstr(text, "MESSAGE=message ")); text++)
            found++;
    }
    printf("%ld %lld\n", found, last - first);
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    if (argc != 4 || fd < 0)
        return 2;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[2]);
    return strcmp(argv[1], "send") == 0 ? sends(fd, &address, atol(argv[3])) : sinks(fd, &address, atol(argv[3]));
}
