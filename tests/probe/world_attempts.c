/* Attempts at files, devices, sockets and the terminal. */
#define _GNU_SOURCE
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* PATH [r|w|rw|create] */
static const char *try_open(int argc, char **argv)
{
    const char *path = argument(argc, argv, 0, "/"), *mode = argument(argc, argv, 1, "r");
    int flags = strcmp(mode, "rw") == 0 ? O_RDWR : strcmp(mode, "w") == 0 ? O_WRONLY : O_RDONLY;

    if (strcmp(mode, "create") == 0)
        flags = O_WRONLY | O_CREAT | O_EXCL;
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
    if (fd >= 0 && flags & O_EXCL)
        unlink(path);
    return outcome(fd);
}

/* DIRECTORY */
static const char *try_list(int argc, char **argv)
{
    return opendir(argument(argc, argv, 0, "/")) ? "ok" : error_name(errno);
}

/* PATH [b|c|p [MAJOR MINOR]] */
static const char *try_mknod(int argc, char **argv)
{
    const char *path = argument(argc, argv, 0, "/tmp/probe-node"), *type = argument(argc, argv, 1, "c");
    mode_t kind = *type == 'b' ? S_IFBLK : *type == 'p' ? S_IFIFO : S_IFCHR;
    unsigned high = (unsigned)atoi(argument(argc, argv, 2, "1")), low = (unsigned)atoi(argument(argc, argv, 3, "3"));
    int result = mknod(path, kind | 0600, kind == S_IFIFO ? 0 : makedev(high, low));
    if (result == 0)
        unlink(path);
    return outcome(result);
}

/* PATH */
static const char *try_make_setuid(int argc, char **argv)
{
    const char *path = argument(argc, argv, 0, "/tmp/probe-setuid");
    struct stat info;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (fd < 0)
        return error_name(errno);
    int result = fchmod(fd, 04755);
    if (result == 0 && fstat(fd, &info) == 0 && !(info.st_mode & S_ISUID))
        return unlink(path), "cleared";
    unlink(path);
    return outcome(result);
}

/* PATH of a copy of this program */
static const char *try_exec_setuid(int argc, char **argv)
{
    static char text[64];
    int ends[2];

    if (!argc || pipe(ends) != 0)
        return "usage";
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], 1);
        execl(argv[0], argv[0], "euid", (char *)NULL);
        dprintf(1, "%s", error_name(errno));
        _exit(1);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], text, sizeof text - 1);
    waitpid(pid, NULL, 0);
    text[length > 0 ? length : 0] = 0;
    text[strcspn(text, "\n")] = 0;
    return text;
}

/* FAMILY TYPE [PROTOCOL] */
static const char *try_socket(int argc, char **argv)
{
    int family = atoi(argument(argc, argv, 0, "2")), type = atoi(argument(argc, argv, 1, "1"));
    return outcome(socket(family, type | SOCK_CLOEXEC, atoi(argument(argc, argv, 2, "0"))));
}

/* @NAME or PATH */
static const char *try_connect_unix(int argc, char **argv)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *name = argument(argc, argv, 0, "@probe");
    size_t length = strlen(name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || length >= sizeof address.sun_path)
        return error_name(errno);
    memcpy(address.sun_path, name, length);
    if (*name == '@')
        address.sun_path[0] = 0;
    return outcome(connect(fd, (void *)&address, (socklen_t)(sizeof address.sun_family + length + (*name != '@'))));
}

/* PORT on 127.0.0.1 */
static const char *try_connect_inet(int argc, char **argv)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_port = htons((unsigned short)atoi(argument(argc, argv, 0, "22")));
    return fd < 0 ? error_name(errno) : outcome(connect(fd, (void *)&address, sizeof address));
}

/* The classic: a chroot inside of a chroot, left by a descriptor of the outer one. */
static const char *try_chroot(int argc, char **argv)
{
    char directory[] = "/tmp/probe-chroot-XXXXXX";
    struct stat before, after;

    (void)argc, (void)argv;
    stat("/", &before);
    int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *inner = mkdtemp(directory) ? directory : "/";
    int result = chroot(inner);
    const char *text = outcome(result);
    if (result == 0 && fchdir(root) == 0) {
        for (int i = 0; i < 64; i++)
            result |= chdir("..");
        result |= chroot(".");
        stat("/", &after);
        int same = before.st_ino == after.st_ino && before.st_dev == after.st_dev;
        text = result ? error_name(errno) : same ? "ok" : "escaped";
    }
    rmdir(directory);
    return text;
}

/* Puts a character into the input of the terminal that somebody else reads. */
static const char *try_tiocsti(int argc, char **argv)
{
    char character = ' ';
    (void)argc, (void)argv;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
    return outcome(ioctl(fd < 0 ? 0 : fd, TIOCSTI, &character));
}

static const char *try_tioclinux(int argc, char **argv)
{
    char code = 2; /* set selection */
    (void)argc, (void)argv;
    return outcome(ioctl(0, TIOCLINUX, &code));
}

const struct attempt world_attempts[] = {
    { "open", try_open, { 0 } },
    { "list", try_list, { 0 } },
    { "mknod", try_mknod, { 0 } },
    { "mknod-block", try_mknod, { "/tmp/probe-node", "b" } },
    { "make-setuid", try_make_setuid, { 0 } },
    { "exec-setuid", try_exec_setuid, { 0 } },
    { "socket-inet", try_socket, { "2", "1" } },
    { "socket-inet6", try_socket, { "10", "1" } },
    { "socket-netlink", try_socket, { "16", "3" } },
    { "socket-packet", try_socket, { "17", "3" } },
    { "socket-alg", try_socket, { "38", "5" } },
    { "socket-vsock", try_socket, { "40", "1" } },
    { "socket-unix", try_socket, { "1", "1" } },
    { "socket", try_socket, { 0 } },
    { "connect-unix", try_connect_unix, { 0 } },
    { "connect-inet", try_connect_inet, { 0 } },
    { "chroot", try_chroot, { 0 } },
    { "tiocsti", try_tiocsti, { 0 } },
    { "tioclinux", try_tioclinux, { 0 } },
    { NULL, NULL, { 0 } },
};
