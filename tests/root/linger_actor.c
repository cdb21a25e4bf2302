/* Inside a kept jail: what goes on in the background, and what it tries on the logins that come. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child in a session of its own that holds nothing of the client's; 0 in it. */
static pid_t go_into_background(void)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    setsid();
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    return 0;
}

static int say_pid(pid_t pid)
{
    printf("%d\n", pid);
    fflush(stdout);
    return pid < 0;
}

/* Something that goes on, and its pid. */
static int background(char **argv)
{
    (void)argv;
    pid_t pid = go_into_background();
    while (pid == 0)
        pause();
    return say_pid(pid);
}

/* nohup(1) without a session of its own: it is in the group of the command. */
static int nohup(char **argv)
{
    (void)argv;
    signal(SIGHUP, SIG_IGN);
    pid_t pid = fork();
    while (pid == 0)
        pause();
    signal(SIGHUP, SIG_DFL);
    return say_pid(pid) || pause();
}

/* A child that is waited for, as a shell waits for a command; both take SIGHUP if HOW is not "deaf". */
static int foreground(char **argv)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            pause();
    if (strcmp(argv[0], "deaf") == 0)
        signal(SIGHUP, SIG_IGN);
    say_pid(pid);
    waitpid(pid, NULL, 0);
    return pause();
}

/* PID SIGNAL: kill(2). */
static int send(char **argv)
{
    int sent = kill(atoi(argv[0]), atoi(argv[1]));
    printf("%s\n", sent == 0 ? "ok" : strerrorname_np(errno));
    return 0;
}

static int write_to(char **argv)
{
    FILE *file = fopen(argv[0], "w");
    return !file || fputs(argv[1], file) < 0 || fclose(file) != 0;
}

static int show(char **argv)
{
    char text[4096];
    int fd = open(argv[0], O_RDONLY);
    for (ssize_t n; fd >= 0 && (n = read(fd, text, sizeof text)) > 0;)
        (void)!write(1, text, (size_t)n);
    return fd < 0;
}

/* As many processes as there can be, which go on. */
static int bomb(char **argv)
{
    (void)argv;
    int count = 0;
    for (pid_t pid; (pid = go_into_background()) >= 0; count++)
        while (pid == 0)
            pause();
    printf("%d %s\n", count, strerrorname_np(errno));
    return 0;
}

static int report;

/* What has a program of the jail's is the user's own; what has not yet is the login program. */
static void note(pid_t pid, const char *what)
{
    char path[64], program[256] = "", text[512];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    ssize_t n = readlink(path, program, sizeof program - 1);
    if (n <= 0 || strncmp(program, "/bin/", 5) == 0)
        return;
    int size = snprintf(text, sizeof text, "%s of %d: %s\n", what, pid, program);
    (void)!write(report, text, (size_t)size);
}

static void try(pid_t pid)
{
    static const char *const names[] = { "mem", "environ", "fd", "fd/3", "maps", "root", "cwd", "ns/mnt", "exe" };
    char path[64], byte;
    struct iovec here = { &byte, 1 }, there = { (void *)0x400000, 1 };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, names[i]);
        int fd = open(path, O_RDONLY | O_NONBLOCK);
        if (fd >= 0)
            note(pid, path);
        close(fd);
    }
    if (process_vm_readv(pid, &here, 1, &there, 1, 0) >= 0)
        note(pid, "process_vm_readv");
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    for (int fd = 0; fd < 4; fd++) {
        int got = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
        if (got >= 0)
            note(pid, "pidfd_getfd");
        close(got);
    }
    close(process);
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0) {
        note(pid, "ptrace");
        ptrace(PTRACE_DETACH, pid, NULL, NULL);
    }
}

/* HOW: tries all on whatever is there, and with "stop" stops and continues it, with "kill" kills it; into /tmp/report
 * goes what it reached of the login program. */
static int attack(char **argv)
{
    pid_t pid = go_into_background(), own = getpid();
    if (pid != 0)
        return say_pid(pid);
    own = getpid();
    report = open("/tmp/report", O_WRONLY | O_CREAT | O_APPEND, 0600);
    write_to((char *[]){ "/tmp/attacks", "yes" });
    for (pid_t newest = own;; newest = newest < own + 20000 ? newest : own)
        for (pid_t target = 1; target < newest + 50; target++) {
            if (target == own || kill(target, 0) != 0)
                continue;
            newest = target > newest ? target : newest;
            if (strcmp(argv[0], "kill") == 0 && target > 1)
                kill(target, SIGKILL);
            if (strcmp(argv[0], "stop") == 0)
                kill(target, SIGSTOP);
            try(target);
            if (strcmp(argv[0], "stop") == 0)
                kill(target, SIGCONT);
        }
}

static const struct {
    const char *name;
    int (*act)(char **);
    int arguments;
} verbs[] = { { "background", background, 0 },
              { "nohup", nohup, 0 },
              { "foreground", foreground, 1 },
              { "send", send, 2 },
              { "write", write_to, 2 },
              { "show", show, 1 },
              { "bomb", bomb, 0 },
              { "attack", attack, 1 } };

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(argv[1], verbs[i].name) == 0 && argc - 2 == verbs[i].arguments)
            return verbs[i].act(argv + 2);
    return 2;
}
