#include "pty.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "fail.h"
#include "session.h"

static struct termios before;
static bool changed;

int pty_open(int channel)
{
    struct termios modes;
    struct winsize size;
    int unlock = 0, master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) != 0)
        refuse("terminal", "cannot open a terminal", errno);
    int terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0 || tcgetattr(0, &modes) != 0 || tcsetattr(terminal, TCSANOW, &modes) != 0)
        refuse("terminal", "cannot set a terminal up", errno);
    if (ioctl(0, TIOCGWINSZ, &size) == 0)
        ioctl(terminal, TIOCSWINSZ, &size);
    char text[] = { SAYS_TERMINAL };
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { { 0 } };
    struct iovec part = { text, sizeof text };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space
    };
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &master, sizeof master);
    if (sendmsg(channel, &message, MSG_NOSIGNAL) != 1)
        refuse("terminal", "cannot hand the terminal over", errno);
    close(master);
    return terminal;
}

bool pty_become_terminal(int terminal)
{
    for (int fd = 0; fd < 3; fd++)
        if (dup2(terminal, fd) != fd)
            return false;
    return ioctl(0, TIOCSCTTY, 0) == 0;
}

long pty_receive(int channel, char *text, size_t size, int *master)
{
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec part = { text, size - 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space
    };
    long n = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    text[n > 0 ? n : 0] = '\0';
    struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
        head->cmsg_len == CMSG_LEN(sizeof(int))) {
        int fd;
        memcpy(&fd, CMSG_DATA(head), sizeof fd);
        if (*master >= 0 || text[0] != SAYS_TERMINAL)
            close(fd);
        else
            *master = fd;
    }
    return n;
}

void pty_raw(void)
{
    struct termios raw;
    if (tcgetattr(0, &before) != 0)
        return;
    raw = before;
    cfmakeraw(&raw);
    changed = tcsetattr(0, TCSANOW, &raw) == 0;
}

void pty_restore(void)
{
    if (changed)
        tcsetattr(0, TCSADRAIN, &before);
    changed = false;
}

void pty_copy_size(int master)
{
    struct winsize size;
    if (ioctl(0, TIOCGWINSZ, &size) == 0)
        ioctl(master, TIOCSWINSZ, &size);
}

struct pollfd pump_wants(const struct pump *pump)
{
    if (pump->done < pump->have)
        return (struct pollfd){ .fd = pump->to, .events = POLLOUT };
    return (struct pollfd){ .fd = pump->from, .events = POLLIN };
}

bool pump_step(struct pump *pump)
{
    ssize_t n;
    if (pump->done < pump->have) {
        n = write(pump->to, pump->buffer + pump->done, pump->have - pump->done);
        pump->done += n > 0 ? (size_t)n : 0;
    } else {
        n = read(pump->from, pump->buffer, sizeof pump->buffer);
        pump->have = n > 0 ? (size_t)n : 0;
        pump->done = 0;
    }
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}
