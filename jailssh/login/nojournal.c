#include "nojournal.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Nobody looks after the file, so it is kept small: what is older than the last but one of these is lost. */
enum { LOG_MAX = 4 << 20, AUTHPRIV = 10 << 3 };

static const char log_file[] = "/var/log/jailssh.log", old_file[] = "/var/log/jailssh.log.1";
static int file = -1, syslog_socket = -1;
static bool settled; /* nothing can be opened any more */
static pid_t pid;
static uid_t uid;

static bool connect_syslog(void)
{
    static const struct sockaddr_un address = { AF_UNIX, "/dev/log" };
    static const struct timeval most = { 1, 0 }; /* a logger that hangs must not hold logins up */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0)
        syslog_socket = fd;
    else
        close(fd);
    return syslog_socket >= 0;
}

/* On some hosts a group may write to the directory: only a file of root's alone is taken. */
static int open_file(struct stat *st)
{
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    int fd = open(log_file, flags, 0600);
    if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_uid == 0 && st->st_nlink == 1 &&
        !(st->st_mode & (S_IRWXG | S_IRWXO)))
        return fd;
    close(fd);
    return -1;
}

void nojournal_open(void)
{
    struct stat st;
    if (settled || file >= 0 || syslog_socket >= 0)
        return;
    pid = getpid();
    uid = getuid();
    if (connect_syslog())
        return;
    file = open_file(&st);
    if (file >= 0 && st.st_size >= LOG_MAX && rename(log_file, old_file) == 0) {
        close(file);
        file = open_file(&st);
    }
}

void nojournal_settle(void)
{
    settled = true;
}

void nojournal_say(const char *session, int priority, const char *text)
{
    char line[800], stamp[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    nojournal_open();
    if (syslog_socket >= 0)
        snprintf(stamp, sizeof stamp, "<%d>", AUTHPRIV | priority);
    else if (gmtime_r(&now, &utc))
        strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ ", &utc);
    int n = snprintf(line, sizeof line - 1, "%sjailssh[%d]: session %s, uid %u: %s", stamp, pid, session, uid, text);
    if (n >= (int)sizeof line - 1)
        n = (int)sizeof line - 2;
    for (char *c = line; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    line[n] = '\n';
    if (syslog_socket >= 0)
        (void)!send(syslog_socket, line, (size_t)n, MSG_NOSIGNAL);
    else if (file >= 0)
        (void)!write(file, line, (size_t)n + 1);
}
