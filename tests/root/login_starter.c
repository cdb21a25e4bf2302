/* login_starter UID PROGRAM WORDS SOCKET NAMESPACE...: the program as an account, below a stand-in of sshd, in
 * namespaces.  Those are descriptors, as is WORDS: the numbers of arguments, of variables and of each filter's
 * instructions, both filters, and the words.  Through SOCKET, where it is none of 0-2, goes the listener of the second
 * filter.  It ends as the program ends. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void check(int result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "login_starter: %s: %s\n", what, strerror(errno));
    _exit(99);
}

/* Of two processes that wait the second is the program's parent, and one that it can see. */
static void go_below(void)
{
    for (int i = 0; i < 2; i++) {
        int status;
        pid_t child = fork();
        check(child, "fork");
        if (child == 0)
            continue;
        for (int fd = 0; fd < 2048; fd++)
            close(fd);
        check(waitpid(child, &status, 0), "waitpid");
        if (WIFSIGNALED(status)) {
            signal(WTERMSIG(status), SIG_DFL);
            kill(getpid(), WTERMSIG(status));
        }
        _exit(WEXITSTATUS(status));
    }
}

/* As root, so that no_new_privs is not needed and privilege can still be gained. */
static int install(uint32_t length, struct sock_filter *code, unsigned flags)
{
    struct sock_fprog filter = { .len = (unsigned short)length, .filter = code };
    int result = length > 0 ? (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter) : 0;
    check(result, "seccomp");
    return result;
}

static void hand_over(int to, int listener)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof listener)];
    } control = { .head = { CMSG_LEN(sizeof listener), SOL_SOCKET, SCM_RIGHTS } };
    struct iovec text = { "x", 1 };
    struct msghdr message = {
        .msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    memcpy(CMSG_DATA(&control.head), &listener, sizeof listener);
    check((int)sendmsg(to, &message, 0), "sendmsg");
    close(listener);
}

int main(int argc, char **argv)
{
    enum { WORDS = 3, SOCKET, NAMESPACES };
    static char data[1 << 22];
    static const int usual[] = { SIGINT, SIGPIPE, SIGXFSZ };
    if (argc <= NAMESPACES)
        return 99;
    uid_t uid = (uid_t)atol(argv[1]);
    const gid_t group = 6000; /* as sshd does for an account that is a member of another group */
    int words = atoi(argv[WORDS]), to = atoi(argv[SOCKET]);
    struct stat st;
    check(fstat(words, &st), "fstat");
    if (st.st_size > (off_t)sizeof data || pread(words, data, sizeof data, 0) != st.st_size)
        check(-1, "pread");
    uint32_t *head = (uint32_t *)data;
    struct sock_filter *code = (struct sock_filter *)(head + 4);
    char *at = (char *)(code + head[2] + head[3]);
    char **vectors[2];
    for (int i = 0; i < 2; i++) {
        vectors[i] = calloc(head[i] + 1, sizeof *vectors[i]);
        for (uint32_t n = 0; n < head[i]; n++, at += strlen(at) + 1)
            vectors[i][n] = at;
    }
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        signal(usual[i], SIG_DFL);
    for (int i = NAMESPACES; i < argc; i++)
        check(setns(atoi(argv[i]), 0), "setns");
    check(chdir("/"), "chdir");
    go_below();
    for (int i = WORDS; i < argc; i++)
        check(atoi(argv[i]) > 2 ? fcntl(atoi(argv[i]), F_SETFD, FD_CLOEXEC) : 0, "fcntl");
    install(head[2], code, 0);
    if (head[3] > 0)
        hand_over(to, install(head[3], code + head[2], SECCOMP_FILTER_FLAG_NEW_LISTENER));
    check(setgroups(1, &group), "setgroups");
    check(setgid(uid), "setgid");
    check(setuid(uid), "setuid");
    execve(argv[2], vectors[0], vectors[1]);
    check(-1, argv[2]);
}
