/* What the outer half's filter lets a process do: of each trial its name, what must come of it, and what did: "ok" or
 * "killed". */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "outer/confine.h"

static pid_t jail; /* a child to signal and to wait for */
static int pair[2], terminal;
static char byte;

static void wait_in_poll(void)
{
    poll(NULL, 0, 50);
}

static void wait_in_ppoll(void)
{
    ppoll(NULL, 0, &(struct timespec){ 0, 50000000 }, NULL);
}

static void streams(void)
{
    struct iovec part = { &byte, 1 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    struct stat about;
    if (write(pair[0], "abcd", 4) != 4 || read(pair[1], &byte, 1) != 1 || recv(pair[1], &byte, 1, MSG_DONTWAIT) != 1 ||
        recvmsg(pair[1], &message, MSG_DONTWAIT) != 1 || send(pair[0], "x", 1, MSG_NOSIGNAL) != 1 ||
        fstat(pair[0], &about) != 0 || shutdown(pair[0], SHUT_WR) != 0 || close(pair[0]) != 0)
        _exit(1);
}

static void terminals(void)
{
    struct termios modes;
    struct winsize size;
    if (tcgetattr(terminal, &modes) != 0 || tcsetattr(terminal, TCSANOW, &modes) != 0 ||
        tcsetattr(terminal, TCSADRAIN, &modes) != 0 || ioctl(terminal, TIOCGWINSZ, &size) != 0 ||
        ioctl(terminal, TIOCSWINSZ, &size) != 0 || fcntl(terminal, F_SETFL, fcntl(terminal, F_GETFL) | O_NONBLOCK) != 0)
        _exit(1);
}

static void the_jail(void)
{
    if (kill(jail, SIGKILL) != 0 || getppid() <= 0 || waitpid(jail, NULL, 0) != jail)
        _exit(1);
}

static void the_time(void)
{
    struct timespec now;
    if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now) != 0)
        _exit(1);
}

static void nothing(void)
{
}

static void open_file(void)
{
    (void)!open("/dev/null", O_RDONLY);
}

static void new_socket(void)
{
    socket(AF_UNIX, SOCK_DGRAM, 0);
}

static void send_to_another(void)
{
    struct sockaddr_un address = { AF_UNIX, "/nowhere" };
    sendto(pair[0], "", 1, 0, (struct sockaddr *)&address, sizeof address);
}

static void signal_another(void)
{
    kill(getppid(), 0);
}

static void signal_all(void)
{
    kill(-1, 0);
}

static void execute(void)
{
    execl("/bin/true", "true", NULL);
}

static void new_process(void)
{
    if (syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) == 0)
        _exit(0);
}

static void map_code(void)
{
    mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void duplicate(void)
{
    fcntl(0, F_DUPFD, 3);
}

static void type_for_others(void)
{
    ioctl(terminal, TIOCSTI, "x");
}

static void look_at_path(void)
{
    struct stat about;
    syscall(SYS_newfstatat, AT_FDCWD, "/", &about, 0);
}

static void be_traced(void)
{
    prctl(PR_SET_DUMPABLE, 1);
}

static void call_with_a_bit(void)
{
    syscall(SYS_getppid | 0x40000000); /* x32 */
}

static void call_of_32_bits(void)
{
#ifdef __x86_64__
    long number = 64; /* getppid */
    __asm__ volatile("int $0x80" : "+a"(number) : : "memory");
#else
    kill(getpid(), SIGSYS);
#endif
}

static const struct trial {
    const char *name;
    void (*run)(void);
    bool passes;
} trials[] = {
    { "poll", wait_in_poll, true },
    { "ppoll", wait_in_ppoll, true },
    { "streams", streams, true },
    { "terminals", terminals, true },
    { "jail", the_jail, true },
    { "time", the_time, true },
    { "exit", nothing, true },
    { "open", open_file, false },
    { "socket", new_socket, false },
    { "send-to-another", send_to_another, false },
    { "signal-another", signal_another, false },
    { "signal-all", signal_all, false },
    { "execute", execute, false },
    { "new-process", new_process, false },
    { "map-code", map_code, false },
    { "duplicate", duplicate, false },
    { "type-for-others", type_for_others, false },
    { "look-at-path", look_at_path, false },
    { "be-traced", be_traced, false },
    { "call-with-a-bit", call_with_a_bit, false },
    { "call-of-32-bits", call_of_32_bits, false },
};

static void confined(const struct trial *trial)
{
    jail = fork();
    if (jail == 0)
        for (;;)
            pause();
    terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (jail < 0 || terminal < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        _exit(2);
    outer_confine(jail);
    trial->run();
    exit(0); /* as the outer half ends: by the C library */
}

static const char *outcome(const struct trial *trial)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        confined(trial);
    }
    for (int i = 0; i < 4; i++) { /* poll(2) is begun again by another number */
        poll(NULL, 0, 5);
        kill(pid, SIGSTOP);
        poll(NULL, 0, 1);
        kill(pid, SIGCONT);
    }
    waitpid(pid, &status, 0);
    kill(-pid, SIGKILL);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS ? "killed" : "another signal";
    return WEXITSTATUS(status) == 0 ? "ok" : "failed";
}

int main(void)
{
    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
        printf("%s %s %s\n", trials[i].name, trials[i].passes ? "ok" : "killed", outcome(&trials[i]));
        fflush(stdout);
    }
    return 0;
}
