/* What the kernel says about this process, by system calls; /proc is used only where there is no call. */
#define _GNU_SOURCE
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

extern char **environ;

static void ids(void)
{
    uid_t uid[3];
    gid_t gid[3], groups[1024];

    getresuid(&uid[0], &uid[1], &uid[2]);
    getresgid(&gid[0], &gid[1], &gid[2]);
    say_format("uid", "%d,%d,%d,%d", (int)uid[0], (int)uid[1], (int)uid[2], setfsuid((uid_t)-1));
    say_format("gid", "%d,%d,%d,%d", (int)gid[0], (int)gid[1], (int)gid[2], setfsgid((gid_t)-1));
    int count = getgroups(1024, groups);
    printf("groups=");
    for (int i = 0; i < count; i++)
        printf("%s%d", i ? "," : "", (int)groups[i]);
    putchar('\n');
}

static const char *seccomp_mode(int argc, char **argv)
{
    static char text[16];
    (void)argc, (void)argv;
    int mode = prctl(PR_GET_SECCOMP, 0, 0, 0, 0); /* SIGKILL in strict mode, so this runs in a child */
    if (mode < 0)
        return error_name(errno);
    snprintf(text, sizeof text, "%d", mode);
    return text;
}

static void power(void)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { 0 } };
    uint64_t bounding = 0, ambient = 0;

    syscall(SYS_capget, &header, data);
    for (unsigned long cap = 0; cap < 64; cap++) {
        bounding |= (uint64_t)(prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1) << cap;
        ambient |= (uint64_t)(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1) << cap;
    }
    say_format("cap.effective", "%08x%08x", data[1].effective, data[0].effective);
    say_format("cap.permitted", "%08x%08x", data[1].permitted, data[0].permitted);
    say_format("cap.inheritable", "%08x%08x", data[1].inheritable, data[0].inheritable);
    say_format("cap.bounding", "%016llx", (unsigned long long)bounding);
    say_format("cap.ambient", "%016llx", (unsigned long long)ambient);
    say_format("no_new_privs", "%d", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    say_format("securebits", "%x", (unsigned)prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
    say_format("keepcaps", "%d", prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
    say_format("dumpable", "%d", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
    say_format("personality", "%x", (unsigned)personality(0xffffffff));
    say("seccomp", in_child(seccomp_mode, 0, NULL));
}

/* Inode numbers through a pidfd (Linux 6.11), else through /proc. */
static void namespaces(void)
{
    static const char *const names[] = {
        "cgroup", "ipc", "mnt", "net", "pid", "pid_for_children", "time", "time_for_children", "user", "uts"
    };
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        char key[32], path[64];
        struct stat info;
        int fd = ioctl(pidfd, _IO(0xFF, i + 1), 0);
        snprintf(key, sizeof key, "ns.%s", names[i]);
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        if (fd >= 0 ? fstat(fd, &info) == 0 : stat(path, &info) == 0)
            say_format(key, "%llu", (unsigned long long)info.st_ino);
        else
            say(key, error_name(errno));
        if (fd >= 0)
            close(fd);
    }
    close(pidfd);
}

static void processes(void)
{
    const char *comma = "";

    say_format("pid", "%d", getpid());
    say_format("ppid", "%d", starter);
    say_format("sid", "%d", getsid(0));
    say_format("pgid", "%d", getpgrp());
    printf("pids="); /* kill(2) answers for each process of our pid namespace, whatever /proc shows */
    for (pid_t pid = 1; pid <= 65536; pid++) {
        if (kill(pid, 0) == 0 || errno == EPERM) {
            printf("%s%d", comma, (int)pid);
            comma = ",";
        }
    }
    putchar('\n');
    DIR *proc = opendir("/proc");
    if (!proc) {
        say("proc", error_name(errno));
        return;
    }
    struct dirent *entry;
    printf("proc=");
    comma = "";
    while ((entry = readdir(proc))) {
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') {
            printf("%s%s", comma, entry->d_name);
            comma = ",";
        }
    }
    putchar('\n');
    closedir(proc);
}

static void descriptors(void)
{
    for (int fd = 0; fd < 1024; fd++) {
        struct stat info;
        int flags = fcntl(fd, F_GETFL);
        if (flags < 0 || fstat(fd, &info) != 0)
            continue;
        const char *type = S_ISREG(info.st_mode)    ? "file"
                           : S_ISDIR(info.st_mode)  ? "directory"
                           : S_ISCHR(info.st_mode)  ? "character"
                           : S_ISBLK(info.st_mode)  ? "block"
                           : S_ISFIFO(info.st_mode) ? "pipe"
                           : S_ISSOCK(info.st_mode) ? "socket"
                                                    : "other";
        static const char *const modes[] = { "r", "w", "rw", "none" };
        say_format("fd", "%d|%s|%s|%u:%u|%llu|rdev=%u:%u|cloexec=%d", fd, type, modes[flags & O_ACCMODE],
                   major(info.st_dev), minor(info.st_dev), (unsigned long long)info.st_ino, major(info.st_rdev),
                   minor(info.st_rdev), fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
}

static void terminal(void)
{
    struct winsize size;
    int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

    say_format("isatty", "%d,%d,%d", isatty(0), isatty(1), isatty(2));
    say("tty.control", fd >= 0 ? "ok" : error_name(errno));
    if (fd >= 0)
        close(fd);
    if (ioctl(0, TIOCGWINSZ, &size) == 0)
        say_format("tty.size", "%dx%d", size.ws_row, size.ws_col);
    if (isatty(0)) {
        const char *name = ttyname(0);
        say("tty.name", name ? name : error_name(errno));
        say_format("tty.foreground", "%d", tcgetpgrp(0) == getpgrp());
    }
}

static void limits(void)
{
    static const char *const names[] = { "cpu",      "fsize",  "data",    "stack", "core",  "rss",
                                         "nproc",    "nofile", "memlock", "as",    "locks", "sigpending",
                                         "msgqueue", "nice",   "rtprio",  "rttime" };
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit limit;
        char key[32];
        getrlimit((__rlimit_resource_t)i, &limit);
        snprintf(key, sizeof key, "rlimit.%s", names[i]);
        say_format(key, "%lld:%lld", (long long)limit.rlim_cur, (long long)limit.rlim_max); /* -1: unlimited */
    }
}

static void print_signals(const char *key, int (*wanted)(int number, const void *data), const void *data)
{
    const char *comma = "";
    printf("%s=", key);
    for (int number = 1; number <= 64; number++) {
        if (wanted(number, data)) {
            printf("%s%d", comma, number);
            comma = ",";
        }
    }
    putchar('\n');
}

static int is_member(int number, const void *set)
{
    return sigismember(set, number) == 1;
}

static int is_ignored(int number, const void *data)
{
    struct sigaction action;
    (void)data;
    return sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static void signals(void)
{
    sigset_t set;
    struct itimerval timer;

    print_signals("signal.ignored", is_ignored, NULL);
    sigprocmask(SIG_SETMASK, NULL, &set);
    print_signals("signal.blocked", is_member, &set);
    sigpending(&set);
    print_signals("signal.pending", is_member, &set);
    for (int which = 0; which < 3; which++) {
        getitimer((__itimer_which_t)which, &timer);
        say_format("timer", "%ld.%06ld", (long)timer.it_value.tv_sec, (long)timer.it_value.tv_usec);
    }
}

static void surroundings(void)
{
    struct utsname names;
    struct stat info;
    char *cwd = getcwd(NULL, 0);
    mode_t mask = umask(0);

    umask(mask);
    uname(&names);
    say("hostname", names.nodename);
    say("cwd", cwd ? cwd : error_name(errno));
    say_format("umask", "%03o", (unsigned)mask);
    if (stat("/", &info) == 0)
        say_format("root", "%u:%u|%llu", major(info.st_dev), minor(info.st_dev), (unsigned long long)info.st_ino);
    for (char **entry = environ; *entry; entry++)
        say("env", *entry);
    free(cwd);
}

static const struct {
    const char *name;
    void (*function)(void);
} sections[] = {
    { "fds", descriptors },     { "ids", ids },
    { "power", power },         { "namespaces", namespaces },
    { "mounts", print_mounts }, { "processes", processes },
    { "terminal", terminal },   { "limits", limits },
    { "signals", signals },     { "surroundings", surroundings },
};

int print_facts(int count, char **wanted)
{
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        int yes = count == 0;
        for (int j = 0; j < count; j++)
            yes |= strcmp(wanted[j], sections[i].name) == 0;
        if (yes)
            sections[i].function();
    }
    return 0;
}
