#include "parcel.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "notify.h"
#include "state.h"

enum { MOST = 250 }; /* unix(7) allows 253 descriptors in a message */

/* Two names in turn: the new ones are kept before the old ones are let go. */
static const char *const names[] = { "sockets-a", "sockets-b" };
static size_t current;

static struct parcel {
    size_t count;
    uint32_t uids[MOST];
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(MOST * sizeof(int))];
    } control;
} parcel;

static int *descriptors(void)
{
    return (int *)(void *)CMSG_DATA(&parcel.control.head);
}

bool parcel_open(const char *name, int fd, parcel_socket *take)
{
    size_t which = strcmp(name, names[0]) == 0 ? 0 : 1;
    if (strcmp(name, names[which]) != 0)
        return false;
    struct iovec part = { parcel.uids, sizeof parcel.uids };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &parcel.control, .msg_controllen = sizeof parcel.control.room
    };
    /* MSG_PEEK: what the manager has is this very queue, and the next relay is to find it full too. */
    ssize_t n = recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    size_t count = head && head->cmsg_type == SCM_RIGHTS ? (head->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    for (size_t i = 0; i < count; i++) {
        int each;
        memcpy(&each, CMSG_DATA(head) + i * sizeof each, sizeof each);
        if (i < (size_t)n / sizeof *parcel.uids)
            take(parcel.uids[i], each);
        else
            close(each);
    }
    close(fd);
    current = which;
    return true;
}

static void send_parcel(void)
{
    int ends[2];
    struct iovec part = { parcel.uids, parcel.count * sizeof *parcel.uids };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &parcel.control };
    if (parcel.count == 0 || socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) != 0)
        return;
    size_t size = parcel.count * sizeof(int);
    parcel.control.head.cmsg_len = (__typeof__(parcel.control.head.cmsg_len))CMSG_LEN(size);
    parcel.control.head.cmsg_level = SOL_SOCKET;
    parcel.control.head.cmsg_type = SCM_RIGHTS;
    message.msg_controllen = (__typeof__(message.msg_controllen))CMSG_SPACE(size);
    if (sendmsg(ends[0], &message, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        notify_keep(names[current], ends[1]);
    close(ends[0]);
    close(ends[1]);
    parcel.count = 0;
}

void parcel_pack(void)
{
    current = !current;
    parcel.count = 0;
    notify_let_go(names[current]); /* of a relay that was killed while it packed */
    for (struct account *of = state_accounts(); of < state_accounts() + ACCOUNTS_MOST; of++)
        for (size_t i = SOCKETS; of->used && i-- > 0;) {
            if (of->sockets[i] < 0)
                continue;
            parcel.uids[parcel.count] = of->uid;
            descriptors()[parcel.count++] = of->sockets[i];
            if (parcel.count == MOST)
                send_parcel();
        }
    send_parcel();
    notify_let_go(names[!current]);
}
