#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "../login/readable.h"
#include "tell.h"

enum { MESSAGE_MOST = 40 << 10, VALUE_MOST = 24 << 10, LINE_MOST = 8 << 10, ROUNDS = 100 };

static struct {
    char text[MESSAGE_MOST];
    size_t length;
} message;

/* Values are lines of their own: what cannot be read has another character in its place. */
static void put(const char *name, const char *value)
{
    size_t n = strnlen(value, VALUE_MOST), step;
    if (message.length + strlen(name) + n + 2 > sizeof message.text)
        return;
    message.length += (size_t)snprintf(message.text + message.length, strlen(name) + 2, "%s=", name);
    for (size_t at = 0; at < n; at += step) {
        step = readable(value + at);
        if (step > 0 && at + step <= n)
            memcpy(message.text + message.length, value + at, step);
        else
            message.text[message.length] = '?';
        step = step > 0 && at + step <= n ? step : 1;
        message.length += step;
    }
    message.text[message.length++] = '\n';
}

static void put_number(const char *name, long long number)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", number);
    put(name, text);
}

/* The relay tells whose session it is as long as the sender runs, so that it has read the message is waited for. */
static void send_it(void)
{
    static const struct sockaddr_un address = { AF_UNIX, "/run/systemd/journal/socket" };
    static const struct timespec moment = { 0, 10000000 };
    int left = 1, fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool sent = false;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return;
    }
    for (int i = 0; i < ROUNDS && !(sent && left == 0); i++) {
        sent = sent || send(fd, message.text, message.length, MSG_NOSIGNAL) >= 0;
        if (ioctl(fd, SIOCOUTQ, &left) != 0)
            left = 0;
        if (!sent || left > 0)
            nanosleep(&moment, NULL);
    }
    close(fd);
}

static void begin(const char *line, const char *priority, const char *repository, size_t references)
{
    const char *key = getenv("JAILSSH_KEY");
    message.length = 0;
    put("MESSAGE", line);
    put("PRIORITY", priority);
    put("SYSLOG_IDENTIFIER", "after_push");
    put("PUSH_REPOSITORY", repository);
    put_number("PUSH_REFERENCES", (long long)references);
    if (key)
        put("PUSH_KEY", key);
}

void tell_journal(const struct told *told)
{
    static char line[LINE_MOST];
    snprintf(line, sizeof line, "push to %s: %s %s, %lld.%03lld s", told->repository, told->command, told->how,
             told->took / 1000, told->took % 1000);
    begin(line, told->good ? "6" : "4", told->repository, told->references);
    put("PUSH_COMMAND", told->command);
    if (WIFEXITED(told->status))
        put_number("PUSH_EXIT", WEXITSTATUS(told->status));
    else
        put_number("PUSH_SIGNAL", WTERMSIG(told->status));
    send_it();
}

void tell_push(const char *repository, const char *hook, size_t count, int fd)
{
    static char line[LINE_MOST], updates[VALUE_MOST + 1];
    ssize_t n = read(fd, updates, VALUE_MOST);
    while (n > 0 && updates[n - 1] != '\n')
        n--;
    for (ssize_t i = 0; i < n; i++)
        updates[i] = updates[i] == '\n' ? ' ' : updates[i];
    updates[n > 0 ? n - 1 : 0] = '\0';
    snprintf(line, sizeof line, "push to %s: %zu references, for a webhook", repository, count);
    begin(line, "6", repository, count);
    put("PUSH_HOOK", hook);
    put("PUSH_UPDATES", updates);
    send_it();
}
