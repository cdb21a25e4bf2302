#include "notify.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST = 3 };

void notify_given(void (*take)(int fd, const char *name))
{
    const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID"), *names = getenv("LISTEN_FDNAMES");
    if (!count || !names || (pid && atol(pid) != getpid()))
        return;
    for (int fd = FIRST; fd < FIRST + atoi(count); fd++) {
        char name[64];
        size_t n = strcspn(names, ":");
        snprintf(name, sizeof name, "%.*s", (int)n, names);
        names += n + (names[n] == ':');
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
            take(fd, name);
    }
}

void notify(const char *state, int fd)
{
    static int manager = -1;
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    if (!path || strlen(path) < 2 || strlen(path) >= sizeof to.sun_path)
        return;
    if (manager < 0)
        manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(to.sun_path, path, strlen(path));
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
    struct iovec text = { .iov_base = (void *)(uintptr_t)state, .iov_len = strlen(state) };
    struct msghdr message = { .msg_name = &to,
                              .msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)),
                              .msg_iov = &text,
                              .msg_iovlen = 1 };
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control.room;
        memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    }
    (void)!sendmsg(manager, &message, MSG_NOSIGNAL);
}

void notify_keep(const char *name, int fd)
{
    char text[128];
    /* The manager would take a socket that cannot be written to for one that has ended. */
    snprintf(text, sizeof text, "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
    notify(text, fd);
}

void notify_let_go(const char *name)
{
    char text[128];
    snprintf(text, sizeof text, "FDSTOREREMOVE=1\nFDNAME=%s", name);
    notify(text, -1);
}
