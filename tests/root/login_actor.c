/* Inside a jail: what a command may do that the probe, which only asks, does not. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

/* SIZE: so many bytes on stdout, line by line, and the end at once. */
static int flood(char **argv)
{
    long size = atol(argv[0]);
    static char line[64];
    memset(line, 'x', sizeof line);
    line[63] = '\n';
    static char block[64 * 1024];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = line[i % 64];
    while (size > 0) {
        ssize_t n = write(1, block, size < (long)sizeof block ? (size_t)size : sizeof block);
        if (n < 0)
            return 3;
        size -= n;
    }
    return 0;
}

/* @NAME: listens there until it is killed. */
static int listen_at(char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t length = strlen(argv[0]);
    memcpy(address.sun_path + 1, argv[0] + 1, length - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd, (void *)&address, (socklen_t)(sizeof address.sun_family + length)) != 0 || listen(fd, 5) != 0)
        return 3;
    puts("ready");
    fflush(stdout);
    for (;;)
        pause();
}

static void say_size(void)
{
    struct winsize size = { 0 };
    ioctl(0, TIOCGWINSZ, &size);
    printf("size=%dx%d\n", size.ws_row, size.ws_col);
    fflush(stdout);
}

/* Says every signal that comes, and the window size at first and after each SIGWINCH; SIGTERM ends it with 9. */
static int signals(char **argv)
{
    sigset_t all;
    (void)argv;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    say_size();
    for (;;) {
        int number;
        sigwait(&all, &number);
        printf("signal=%s\n", sigabbrev_np(number));
        fflush(stdout);
        if (number == SIGWINCH)
            say_size();
        if (number == SIGTERM)
            return 9;
    }
}

/* Leaves processes behind that ignore what can be ignored, in sessions of their own, one holding stdout. */
static int leave(char **argv)
{
    (void)argv;
    for (int i = 0; i < 3; i++) {
        int ends[2];
        char byte;
        if (pipe(ends) != 0)
            return 3;
        if (fork() == 0) {
            setsid();
            for (int number = 1; number < 32; number++)
                signal(number, SIG_IGN);
            if (fork() != 0)
                _exit(0);
            if (write(ends[1], "", 1) != 1)
                _exit(3);
            for (;;)
                pause();
        }
        if (read(ends[0], &byte, 1) != 1)
            return 3;
    }
    puts("left");
    return 0;
}

/* Ctrl-C and its kin must reach it: it has a terminal in the state in which shells leave it. */
static int wait_for_key(char **argv)
{
    char byte;
    (void)argv;
    puts("waiting");
    fflush(stdout);
    return read(0, &byte, 1) == 1 ? byte : 3;
}

/* SIZE: writes so much without reading, then counts the lines that came in meanwhile up to one that says "end". */
static int paste(char **argv)
{
    char line[4096];
    long lines = 0;
    if (flood(argv) != 0)
        return 3;
    while (fgets(line, sizeof line, stdin) && strcmp(line, "end\n") != 0)
        lines++;
    printf("lines=%ld\n", lines);
    return 0;
}

/* Closes its output, says on stderr how much it reads after that. */
static int close_output(char **argv)
{
    char block[4096];
    long size = 0;
    (void)argv;
    close(1);
    for (ssize_t n; (n = read(0, block, sizeof block)) > 0;)
        size += n;
    fprintf(stderr, "stdin=%ld\n", size);
    return 5;
}

/* SIZE: closes its input and writes. */
static int close_input(char **argv)
{
    close(0);
    return flood(argv);
}

/* Leaves a process that goes on writing to stdout. */
static int leave_writer(char **argv)
{
    (void)argv;
    if (fork() == 0)
        for (;;)
            if (write(1, "more\n", 5) < 0)
                _exit(1);
    return write(1, "first\n", 6) == 6 ? 0 : 3;
}

static int say_nice(char **argv)
{
    (void)argv;
    printf("nice=%d\n", getpriority(PRIO_PROCESS, 0));
    return 0;
}

/* TEXT…: each is one write to stderr, "^" a newline, "@" a NUL; then their number, on stdout. */
static int say(char **argv)
{
    int count = 0;
    for (; argv[count]; count++) {
        size_t length = strlen(argv[count]);
        for (size_t i = 0; i < length; i++)
            argv[count][i] = argv[count][i] == '^' ? '\n' : argv[count][i] == '@' ? '\0' : argv[count][i];
        if (write(2, argv[count], length) != (ssize_t)length)
            return 3;
    }
    printf("said=%d\n", count);
    return 0;
}

/* SIZE: so many letters in one write to stderr, with a newline, and a line after it. */
static int say_long(char **argv)
{
    static char text[1 << 20];
    size_t size = strtoul(argv[0], NULL, 10);
    memset(text, 'a', sizeof text);
    text[size] = '\n';
    return write(2, text, size + 1) != (ssize_t)size + 1 || write(2, "next\n", 5) != 5;
}

/* COUNT: so many numbered lines on stderr. */
static int count_lines(char **argv)
{
    for (long i = 0; i < atol(argv[0]); i++)
        dprintf(2, "line %ld\n", i);
    return 0;
}

/* COUNT: so many times a line on stdout and one on stderr. */
static int both(char **argv)
{
    static const char line[] = "a line that is of 64 bytes with the newline at its very end ....\n";
    for (long i = 0; i < atol(argv[0]); i++)
        for (int fd = 1; fd <= 2; fd++)
            if (write(fd, line, 64) != 64)
                return 3;
    return 0;
}

/* Takes nothing: neither input nor any signal that can be blocked. */
static int deaf(char **argv)
{
    sigset_t all;
    (void)argv;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    if (puts("deaf") < 0 || fflush(stdout) != 0)
        return 3;
    for (;;)
        pause();
}

/* What every way to System V IPC and POSIX message queues answers, by raw calls, so that no library stands between. */
static int ipc(char **argv)
{
    static const struct {
        const char *name;
        long number, first, second, third;
    } calls[] = {
        { "shmget", SYS_shmget, 4242, 4096, 0666 | IPC_CREAT },
        { "shmat", SYS_shmat, 0, 0, 0 },
        { "shmctl", SYS_shmctl, 0, IPC_RMID, 0 },
        { "semget", SYS_semget, 4242, 1, 0666 | IPC_CREAT },
        { "semop", SYS_semop, 0, 0, 1 },
        { "semctl", SYS_semctl, 0, 0, IPC_RMID },
        { "msgget", SYS_msgget, 4242, 0666 | IPC_CREAT, 0 },
        { "msgsnd", SYS_msgsnd, 0, 0, 0 },
        { "msgrcv", SYS_msgrcv, 0, 0, 0 },
        { "msgctl", SYS_msgctl, 0, IPC_RMID, 0 },
        { "mq_open", SYS_mq_open, (long)"lab", O_RDWR | O_CREAT, 0666 },
        { "mq_unlink", SYS_mq_unlink, (long)"lab", 0, 0 },
    };
    (void)argv;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        long result = syscall(calls[i].number, calls[i].first, calls[i].second, calls[i].third, 0, IPC_NOWAIT);
        printf("%s=%s\n", calls[i].name, result < 0 ? strerrorname_np(errno) : "ok");
    }
    return 0;
}

static const struct {
    const char *name;
    int (*function)(char **argv);
    int arguments;
} verbs[] = {
    { "flood", flood, 1 },
    { "listen", listen_at, 1 },
    { "signals", signals, 0 },
    { "leave", leave, 0 },
    { "key", wait_for_key, 0 },
    { "paste", paste, 1 },
    { "close-output", close_output, 0 },
    { "close-input", close_input, 1 },
    { "leave-writer", leave_writer, 0 },
    { "nice", say_nice, 0 },
    { "say", say, -1 },
    { "long", say_long, 1 },
    { "count", count_lines, 1 },
    { "both", both, 1 },
    { "deaf", deaf, 0 },
    { "ipc", ipc, 0 },
};

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (argc > 1 && strcmp(argv[1], verbs[i].name) == 0 &&
            (argc - 2 == verbs[i].arguments || verbs[i].arguments < 0)) {
            int status = verbs[i].function(argv + 2);
            fflush(stdout);
            return status;
        }
    return 2;
}
