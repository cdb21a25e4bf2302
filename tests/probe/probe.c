/*
 * probe VERB [ARGUMENT…]; see the table at the end.  Without a verb it prints all facts.
 *
 * It is linked statically and needs no file, so that it runs in an empty root.
 */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

int starter;

static void print_escaped(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at <= ' ' || *at == '\\' || *at > 126)
            printf("\\x%02x", *at);
        else
            putchar(*at);
    }
}

void say(const char *key, const char *value)
{
    printf("%s=", key);
    print_escaped(value);
    putchar('\n');
}

void say_format(const char *key, const char *format, ...)
{
    va_list values;

    printf("%s=", key);
    va_start(values, format);
    vprintf(format, values);
    va_end(values);
    putchar('\n');
}

const char *error_name(int number)
{
    const char *name = strerrorname_np(number);
    return name ? name : "unknown-error";
}

const char *in_child(attempt_function *function, int argc, char **argv)
{
    static char text[256];
    int ends[2], status;

    fflush(stdout);
    if (pipe(ends) != 0)
        return error_name(errno);
    pid_t pid = fork();
    if (pid < 0)
        return error_name(errno);
    if (pid == 0) {
        close(ends[0]);
        const char *result = function(argc, argv);
        _exit(write(ends[1], result, strlen(result)) < 0);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    waitpid(pid, &status, 0);
    text[length > 0 ? length : 0] = 0;
    if (WIFSIGNALED(status))
        snprintf(text, sizeof text, "killed-SIG%s", sigabbrev_np(WTERMSIG(status)));
    return text;
}

static int complain(const char *what)
{
    fprintf(stderr, "probe: %s: %s\n", what, error_name(errno));
    return 1;
}

static int copy(int from, int to)
{
    char block[65536];
    ssize_t length;

    while ((length = read(from, block, sizeof block)) > 0) {
        if (write(to, block, (size_t)length) != length)
            return complain("write");
    }
    return length < 0 ? complain("read") : 0;
}

static int verb_cat(int argc, char **argv)
{
    int fd = argc ? open(argv[0], O_RDONLY | O_CLOEXEC) : 0;
    return fd < 0 ? complain(argv[0]) : copy(fd, 1);
}

static int verb_write(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    int fd = open(argv[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return complain(argv[0]);
    ssize_t length = (ssize_t)strlen(argv[1]);
    return write(fd, argv[1], (size_t)length) == length && close(fd) == 0 ? 0 : complain(argv[0]);
}

static int verb_exit(int argc, char **argv)
{
    return argc ? atoi(argv[0]) : 0;
}

static void sleep_for(const char *seconds)
{
    double amount = atof(seconds);
    struct timespec left = { (time_t)amount, (long)((amount - (double)(time_t)amount) * 1e9) };
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static int verb_sleep(int argc, char **argv)
{
    say_format("pid", "%d", getpid());
    fflush(stdout);
    sleep_for(argc ? argv[0] : "60");
    return 0;
}

static int verb_kill_self(int argc, char **argv)
{
    int number = argc ? atoi(argv[0]) : SIGKILL;
    signal(number, SIG_DFL);
    kill(getpid(), number);
    return 0; /* a signal that does not end a process */
}

static int verb_args(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        say("arg", argv[i]);
    return 0;
}

static int verb_env(int argc, char **argv)
{
    (void)argc, (void)argv;
    for (char **entry = environ; *entry; entry++)
        say("env", *entry);
    return 0;
}

static int verb_euid(int argc, char **argv)
{
    (void)argc, (void)argv;
    say_format("euid", "%d", (int)geteuid());
    return 0;
}

/* Leaves a process that belongs to no session of ours and holds nothing of ours. */
static int verb_daemonize(int argc, char **argv)
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        return complain("fork");
    if (child > 0) {
        int status;
        waitpid(child, &status, 0);
        return WEXITSTATUS(status);
    }
    setsid();
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    pid_t grandchild = fork();
    if (grandchild != 0) {
        say_format("pid", "%d", (int)grandchild);
        fflush(stdout);
        _exit(grandchild < 0);
    }
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    sleep_for(argc ? argv[0] : "60");
    _exit(0);
}

static const struct {
    const char *name;
    int (*function)(int argc, char **argv);
} verbs[] = {
    { "facts", print_facts },        /* [SECTION…] */
    { "try", print_tries },          /* all | NAME [ARGUMENT…] */
    { "sleep", verb_sleep },         /* SECONDS */
    { "cat", verb_cat },             /* [FILE] */
    { "write", verb_write },         /* FILE TEXT */
    { "exit", verb_exit },           /* STATUS */
    { "kill-self", verb_kill_self }, /* NUMBER */
    { "args", verb_args },           /* … */
    { "env", verb_env },             /* */
    { "euid", verb_euid },           /* */
    { "daemonize", verb_daemonize }, /* [SECONDS] */
};

int main(int argc, char **argv)
{
    starter = getppid();
    if (argc < 2)
        return print_facts(0, NULL);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(argv[1], verbs[i].name) == 0) {
            int status = verbs[i].function(argc - 2, argv + 2);
            return fflush(stdout) == 0 ? status : 1;
        }
    }
    fprintf(stderr, "probe: no verb %s\n", argv[1]);
    return 2;
}
