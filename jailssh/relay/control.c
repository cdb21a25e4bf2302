#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS = 7, NUMBER_MOST = 1000000000 };

bool control_is_root(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
}

static void hold(struct account *of, int fd, control_socket *changed)
{
    if (of->sockets[SOCKETS - 1] >= 0)
        changed(of, of->sockets[SOCKETS - 1], false);
    memmove(of->sockets + 1, of->sockets, (SOCKETS - 1) * sizeof *of->sockets);
    of->sockets[0] = fd;
    changed(of, fd, true);
}

void control_take_kept(uid_t uid, int fd, control_socket *changed)
{
    struct account *of = state_take(uid);
    struct stat one, other;
    for (size_t i = 0; of && i < SOCKETS; i++)
        if (of->sockets[i] >= 0 && fstat(fd, &one) == 0 && fstat(of->sockets[i], &other) == 0 &&
            one.st_ino == other.st_ino)
            of = NULL; /* kept twice: the relay before was packing */
    if (of)
        hold(of, fd, changed);
    else
        close(fd);
}

static bool number(const char *text, long long least, int64_t *into)
{
    char *end;
    errno = 0;
    long long found = strtoll(text, &end, 10);
    *into = found;
    return errno == 0 && *text && !*end && found >= least && found <= NUMBER_MOST;
}

static bool is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= 0x20 || *c == 0x7f || *c == '=')
            return false;
    return *text && strlen(text) < NAME_MOST;
}

/* set UID USER JAIL BASE PEAK INTERVAL, with the account's socket or without a new one. */
static const char *set(char *const *words, size_t count, uid_t uid, int fd, control_socket *changed)
{
    int64_t base, peak, interval;
    if (count != WORDS || !is_plain(words[2]) || !is_plain(words[3]) || !number(words[4], 1, &base) ||
        !number(words[5], base, &peak) || !number(words[6], 1, &interval))
        return "what is to be set cannot be read";
    struct account *of = fd >= 0 ? state_take(uid) : state_find(uid);
    if (!of)
        return fd >= 0 ? "too many accounts" : "the account has no socket";
    if (!of->known || peak != of->peak || base != of->base || interval != of->interval)
        of->tokens = (double)peak;
    of->base = base;
    of->peak = peak;
    of->interval = interval;
    snprintf(of->user, sizeof of->user, "%s", words[2]);
    snprintf(of->fields, sizeof of->fields, "JAILSSH_USER=%s\nJAILSSH_UID=%u\nJAILSSH_JAIL=%s\n", words[2],
             (unsigned)uid, words[3]);
    bool new = !of->known;
    of->known = true; /* from now on its sockets are listened to */
    for (size_t i = 0; new &&i < SOCKETS; i++)
        if (of->sockets[i] >= 0)
            changed(of, of->sockets[i], true);
    if (fd >= 0)
        hold(of, fd, changed);
    return "ok";
}

static const char *drop(uid_t uid, control_socket *changed)
{
    struct account *of = state_find(uid);
    if (!of)
        return "ok";
    for (size_t i = 0; i < SOCKETS; i++)
        if (of->sockets[i] >= 0)
            changed(of, of->sockets[i], false);
    for (size_t i = 0; i < SOCKETS; i++)
        of->sockets[i] = -1;
    state_forget(of);
    return "ok";
}

/* Returns the bytes of a request and the descriptor that came along, which is ours to close. */
static ssize_t receive(int from, char *text, size_t size, int *fd)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = { text, size - 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.room
    };
    ssize_t n = recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *head = n >= 0 ? CMSG_FIRSTHDR(&message) : NULL;
    *fd = -1;
    if (head && head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof *fd))
        memcpy(fd, CMSG_DATA(head), sizeof *fd);
    if (n >= 0)
        text[n] = '\0';
    return n;
}

bool control_serve(int from, control_socket *changed)
{
    static char text[4096];
    char *words[WORDS + 1] = { text };
    size_t count = 0;
    int fd;
    int64_t uid;
    ssize_t n = receive(from, text, sizeof text, &fd);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0)
        return false;
    for (char *at = text; at < text + n && count < WORDS + 1; at += strlen(at) + 1)
        words[count++] = at;
    const char *answer = "no such request";
    bool named = count >= 2 && number(words[1], 1, &uid);
    if (named && strcmp(words[0], "set") == 0)
        answer = set(words, count, (uid_t)uid, fd, changed);
    else if (named && strcmp(words[0], "drop") == 0)
        answer = drop((uid_t)uid, changed);
    if (fd >= 0 && strcmp(answer, "ok") != 0)
        close(fd);
    return send(from, answer, strlen(answer), MSG_NOSIGNAL | MSG_DONTWAIT) > 0;
}
