/* jail-keys(1), passwd: what an account in a jail changes about itself.  It has no power and judges nothing: it asks
 * jailsshd-self by the socket that the jail shows, which knows from the kernel who asks, and prints the answer.
 *
 * A request is NUL-ended fields: the version, what is wanted, its arguments, "end".  What is cut off is no request. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define PLACE "/run/jailssh/socket" /* core/asking.py, as the next one is */
#define OUTGOING ".ssh-outgoing"
#define KEYGEN "/usr/bin/ssh-keygen"
enum { REQUEST_MAX = 16384, PASSWORD_MAX = 512, PATIENCE = 120, EX_USE = 2, EX_AWAY = 4 };

static char request[REQUEST_MAX];
static size_t request_size;
static struct termios terminal;
static volatile sig_atomic_t is_hidden;

static void show_again(void)
{
    if (is_hidden)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal);
    is_hidden = 0;
}

static _Noreturn void end(int code)
{
    show_again();
    explicit_bzero(request, sizeof request);
    _exit(code);
}

static void on_signal(int number)
{
    end(128 + number);
}

static _Noreturn void fail(int code, const char *text)
{
    show_again();
    fprintf(stderr, "%s\n", text);
    end(code);
}

static void put(const char *field, size_t size)
{
    if (size >= sizeof request - request_size)
        fail(EX_USE, "this is too long");
    memcpy(request + request_size, field, size);
    request_size += size;
    request[request_size++] = '\0';
}

static void put_text(const char *text)
{
    put(text, strlen(text));
}

/* As far as it goes: whoever has refused the rest of a request has answered it. */
static void write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, data, size);
        if (done < 0 && errno != EINTR)
            return;
        data += done > 0 ? done : 0;
        size -= done > 0 ? (size_t)done : 0;
    }
}

static int dial(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = PLACE };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        fail(EX_AWAY, "the service for this is not there: it does not run on this host, or was started after this "
                      "session; nothing was changed");
    return fd;
}

/* The first line of an answer is the exit status, the rest is for people. */
static _Noreturn void ask(void)
{
    char answer[4096];
    size_t count = 0, total = 0;
    int fd = dial(), code = -1;
    put_text("end");
    write_all(fd, request, request_size);
    shutdown(fd, SHUT_WR);
    for (;;) {
        ssize_t got = read(fd, answer + count, sizeof answer - count);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        count += (size_t)got;
        total += (size_t)got;
        size_t from = 0;
        if (code < 0 && count >= 2) {
            code = answer[0] >= '0' && answer[0] <= '9' && answer[1] == '\n' ? answer[0] - '0' : EX_AWAY;
            from = 2;
        }
        if (code >= 0) {
            write_all(code ? STDERR_FILENO : STDOUT_FILENO, answer + from, count - from);
            count = 0;
        }
    }
    if (total < 2)
        fail(EX_AWAY, "there was no answer; whether something was changed says: jail-keys list");
    end(code);
}

static bool read_line(char *line, size_t size)
{
    size_t count = 0;
    char byte;
    for (;;) {
        ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || byte == '\0' || count + 1 == size)
            return false;
        if (byte == '\n' || byte == '\r')
            break;
        line[count++] = byte;
    }
    line[count] = '\0';
    return true;
}

static void hide(void)
{
    if (tcgetattr(STDIN_FILENO, &terminal) != 0)
        return;
    struct termios silent = terminal;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    is_hidden = 1;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
}

static void prompt(const char *text, char *line, size_t size, bool is_new)
{
    bool asked = isatty(STDIN_FILENO);
    hide(); /* what is typed before the prompt is flushed */
    if (asked)
        write_all(STDERR_FILENO, text, strlen(text));
    bool read = read_line(line, size) && (line[0] || !is_new);
    show_again();
    if (asked)
        write_all(STDERR_FILENO, "\n", 1);
    if (!read)
        fail(EX_USE, "no password was read (empty, or too long); nothing was changed");
}

static _Noreturn void change_password(void)
{
    char now[PASSWORD_MAX], first[PASSWORD_MAX], again[PASSWORD_MAX];
    prompt("Current password: ", now, sizeof now, false); /* nothing, for who has none yet */
    prompt("New password: ", first, sizeof first, true);
    prompt("New password again: ", again, sizeof again, true);
    bool same = strcmp(first, again) == 0;
    put_text("password");
    put_text(now);
    put_text(first);
    explicit_bzero(now, sizeof now);
    explicit_bzero(first, sizeof first);
    explicit_bzero(again, sizeof again);
    if (!same)
        fail(EX_USE, "the two new passwords differ; nothing was changed");
    ask();
}

static _Noreturn void add(const char *name)
{
    static char text[REQUEST_MAX];
    size_t size = 0;
    ssize_t got = 1;
    if (isatty(STDIN_FILENO))
        fprintf(stderr, "Paste the public key (one line), then Ctrl-D:\n");
    while (got > 0 && size < sizeof text) {
        got = read(STDIN_FILENO, text + size, sizeof text - size);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            size += (size_t)got;
    }
    if (memchr(text, '\0', size))
        fail(EX_USE, "this is not the text of a public key");
    put_text("add");
    put_text(name);
    put(text, size);
    ask();
}

static _Noreturn void take_away(int argc, char **argv)
{
    const char *name = NULL;
    bool last = false, wrong = false;
    for (int i = 2; i < argc; i++) {
        bool is_last = strcmp(argv[i], "--last") == 0;
        wrong = wrong || (!is_last && (name || argv[i][0] == '-'));
        last = last || is_last;
        name = is_last ? name : argv[i];
    }
    if (wrong || !name)
        fail(EX_USE, "usage: jail-keys remove [--last] NAME");
    put_text("remove");
    put_text(name);
    put_text(last ? "last" : "");
    ask();
}

/* The key for connections to elsewhere is the account's own: made and kept here, nobody else is asked. */
static void make_key(const char *path)
{
    const char *argv[] = { KEYGEN, "-q", "-t", "ed25519", "-N", "", "-f", path, NULL };
    int status = -1;
    pid_t child = fork();
    if (child == 0) {
        execv(KEYGEN, (char *const *)argv);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        fail(EX_AWAY, "no key was made: " OUTGOING " in your home must be writable, and ssh-keygen work");
}

static _Noreturn void show_outgoing(void)
{
    const char *home = getenv("HOME") ? getenv("HOME") : "";
    char folder[4096], path[4096], line[1024];
    int size = snprintf(path, sizeof path, "%s/" OUTGOING "/id_ed25519.pub", home);
    if (size < 0 || (size_t)size >= sizeof path)
        fail(EX_USE, "HOME is too long");
    snprintf(folder, sizeof folder, "%s/" OUTGOING, home);
    (void)!mkdir(folder, 0700); /* what is wrong with it, ssh-keygen says */
    path[size - 4] = '\0';
    if (access(path, F_OK) != 0)
        make_key(path);
    path[size - 4] = '.';
    FILE *key = fopen(path, "re");
    if (!key || !fgets(line, sizeof line, key))
        fail(EX_AWAY, "the key is there, but id_ed25519.pub beside it cannot be read: ssh-keygen -y makes it anew");
    write_all(STDOUT_FILENO, line, strlen(line));
    end(0);
}

int main(int argc, char **argv)
{
    const char *name = argc > 0 && strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    struct sigaction action = { .sa_handler = on_signal };
    const int deadly[] = { SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGALRM, SIGTSTP };
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++)
        sigaction(deadly[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    alarm(PATIENCE);
    put_text("1");
    if (argc == 1 && strcmp(name, "passwd") == 0)
        change_password();
    if (argc == 2 && strcmp(argv[1], "password") == 0 && strcmp(name, "passwd") != 0)
        change_password();
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        put_text("list");
        ask();
    }
    if (argc == 2 && strcmp(argv[1], "outgoing") == 0)
        show_outgoing();
    if (argc == 3 && strcmp(argv[1], "add") == 0)
        add(argv[2]);
    if (argc >= 3 && strcmp(argv[1], "remove") == 0)
        take_away(argc, argv);
    fail(EX_USE, strcmp(name, "passwd") == 0 ? "usage: passwd"
                                             : "usage: jail-keys list | add NAME < KEY.pub | remove [--last] NAME | "
                                               "password | outgoing");
}
