/* Attempts at other processes, namespaces and more power. */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static pid_t victim(int argc, char **argv)
{
    if (argc)
        return atoi(argv[0]);
    return starter ? starter : 1;
}

/* FLAG */
static const char *try_unshare(int argc, char **argv)
{
    return outcome(unshare((int)strtol(argument(argc, argv, 0, "0"), NULL, 0)));
}

static const char *try_clone_user(int argc, char **argv)
{
    (void)argc, (void)argv;
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    return outcome(pid);
}

static const char *try_clone3_user(int argc, char **argv)
{
    unsigned long long args[8] = { CLONE_NEWUSER, 0, 0, 0, SIGCHLD };
    (void)argc, (void)argv;
    long pid = syscall(SYS_clone3, args, sizeof args);
    if (pid == 0)
        _exit(0);
    return outcome(pid);
}

/* [PID] */
static const char *try_setns(int argc, char **argv)
{
    int fd = (int)syscall(SYS_pidfd_open, victim(argc, argv), 0);
    return fd < 0 ? error_name(errno) : outcome(setns(fd, CLONE_NEWNS));
}

/* [PID] */
static const char *try_ptrace(int argc, char **argv)
{
    return outcome(ptrace(PTRACE_SEIZE, victim(argc, argv), 0, 0));
}

static const char *try_ptrace_child(int argc, char **argv)
{
    (void)argc, (void)argv;
    return outcome(ptrace(PTRACE_TRACEME, 0, 0, 0));
}

/* [UID] */
static const char *try_setuid(int argc, char **argv)
{
    return outcome(setuid((uid_t)atoi(argument(argc, argv, 0, "0"))));
}

/* [GID] */
static const char *try_setgid(int argc, char **argv)
{
    return outcome(setgid((gid_t)atoi(argument(argc, argv, 0, "0"))));
}

static const char *try_setgroups(int argc, char **argv)
{
    gid_t none = 0;
    (void)argc, (void)argv;
    return outcome(syscall(SYS_setgroups, 0, &none));
}

/* A capability back, as if nothing had been dropped. */
static const char *try_capset(int argc, char **argv)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { 1U << CAP_CHOWN, 1U << CAP_CHOWN, 0 }, { 0 } };
    (void)argc, (void)argv;
    return outcome(syscall(SYS_capset, &header, data));
}

static const char *try_raise_limit(int argc, char **argv)
{
    struct rlimit limit;
    (void)argc, (void)argv;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_max++;
    return outcome(setrlimit(RLIMIT_NOFILE, &limit));
}

/* PID [SIGNAL] */
static const char *try_kill(int argc, char **argv)
{
    return outcome(kill(victim(argc, argv), atoi(argument(argc, argv, 1, "0"))));
}

/* getpid as a 32-bit system call, whose numbers a filter for 64 bits takes for others. */
static const char *try_int80(int argc, char **argv)
{
    (void)argc, (void)argv;
#ifdef __x86_64__
    int result = 20;
    __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    return result == getpid() ? "ok" : result < 0 ? error_name(-result) : "wrong";
#else
    return "not-x86";
#endif
}

static const char *try_x32(int argc, char **argv)
{
    (void)argc, (void)argv;
#ifdef __x86_64__
    return outcome(syscall(0x40000000 | SYS_getpid));
#else
    return "not-x86";
#endif
}

const struct attempt process_attempts[] = {
    { "unshare", try_unshare, { "0x20000" } },
    { "unshare-user", try_unshare, { "0x10000000" } },
    { "unshare-pid", try_unshare, { "0x20000000" } },
    { "unshare-net", try_unshare, { "0x40000000" } },
    { "unshare-ipc", try_unshare, { "0x8000000" } },
    { "unshare-uts", try_unshare, { "0x4000000" } },
    { "unshare-cgroup", try_unshare, { "0x2000000" } },
    { "unshare-time", try_unshare, { "0x80" } },
    { "clone-user", try_clone_user, { 0 } },
    { "clone3-user", try_clone3_user, { 0 } },
    { "setns", try_setns, { 0 } },
    { "ptrace", try_ptrace, { 0 } },
    { "ptrace-child", try_ptrace_child, { 0 } },
    { "setuid", try_setuid, { 0 } },
    { "setgid", try_setgid, { 0 } },
    { "setgroups", try_setgroups, { 0 } },
    { "capset", try_capset, { 0 } },
    { "raise-limit", try_raise_limit, { 0 } },
    { "kill", try_kill, { 0 } },
    { "int80", try_int80, { 0 } },
    { "x32", try_x32, { 0 } },
    { NULL, NULL, { 0 } },
};
