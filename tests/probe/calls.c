/* System calls that a jail must not have, each tried so that the kernel's permission check is what answers first. */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static long call_mount(void)
{
    int result = mount("probe", "/tmp", "tmpfs", 0, NULL);
    if (result == 0)
        umount2("/tmp", MNT_DETACH);
    return result;
}

/* With the flags that it has: the ST_ flags that statfs(2) returns have the values of the MS_ flags. */
static long call_remount(void)
{
    struct statfs info;
    statfs("/", &info);
    return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | ((unsigned long)info.f_flags & 0xf), NULL);
}

static long call_umount(void)
{
    return umount2("/", MNT_EXPIRE); /* EINVAL for a root once it is permitted; plain, it would turn read-only */
}

static long call_pivot_root(void)
{
    return syscall(SYS_pivot_root, "/", "/");
}

static long call_open_tree(void)
{
    return syscall(SYS_open_tree, AT_FDCWD, "/", 1); /* OPEN_TREE_CLONE */
}

static long call_move_mount(void)
{
    return syscall(SYS_move_mount, AT_FDCWD, "/", AT_FDCWD, "/", 0);
}

static long call_mount_setattr(void)
{
    uint64_t attributes[4] = { 0, 0x200000, 0, 0 }; /* clear nosymfollow */
    return syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, attributes, sizeof attributes);
}

static long call_fsopen(void)
{
    return syscall(SYS_fsopen, "tmpfs", 0);
}

static long call_bpf(void)
{
    union bpf_attr attributes = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };
    return syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes);
}

static long call_perf_event_open(void)
{
    struct perf_event_attr attributes = { .type = PERF_TYPE_SOFTWARE, .size = sizeof attributes, .exclude_kernel = 1 };
    return syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
}

static long call_userfaultfd(void)
{
    return syscall(SYS_userfaultfd, O_CLOEXEC | 1); /* UFFD_USER_MODE_ONLY */
}

static long call_io_uring_setup(void)
{
    char parameters[256] = { 0 };
    return syscall(SYS_io_uring_setup, 1, parameters);
}

static long call_keyctl(void)
{
    return syscall(SYS_keyctl, 0, -3, 0); /* KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING */
}

static long call_add_key(void)
{
    return syscall(SYS_add_key, "user", "probe", "x", 1, -1); /* KEY_SPEC_THREAD_KEYRING */
}

static long call_open_by_handle_at(void)
{
    union {
        struct file_handle handle;
        char space[sizeof(struct file_handle) + 128];
    } file = { .handle = { .handle_bytes = 128 } };
    int mount_id;

    name_to_handle_at(AT_FDCWD, "/", &file.handle, &mount_id, 0);
    return open_by_handle_at(AT_FDCWD, &file.handle, O_PATH);
}

static long call_process_vm_readv(void)
{
    char byte;
    struct iovec here = { &byte, 1 }, there = { &byte, 1 };
    return process_vm_readv(starter ? starter : 1, &here, 1, &there, 1, 0);
}

static long call_sethostname(void)
{
    char name[65] = { 0 };
    gethostname(name, sizeof name - 1);
    return sethostname(name, strlen(name));
}

static long call_syslog(void)
{
    return syscall(SYS_syslog, 3, NULL, 0); /* read all: -EINVAL once it is permitted */
}

static long call_init_module(void)
{
    return syscall(SYS_init_module, NULL, 0, "");
}

static long call_kexec_load(void)
{
    return syscall(SYS_kexec_load, 0, 0, NULL, 1UL << 60); /* an unknown flag: EINVAL once it is permitted */
}

static long call_swapoff(void)
{
    return syscall(SYS_swapoff, "/probe-no-such-file");
}

static long call_fanotify_init(void)
{
    return syscall(SYS_fanotify_init, 0x4, O_RDONLY); /* FAN_CLASS_CONTENT */
}

static long call_priority(void)
{
    return setpriority(PRIO_PROCESS, 0, -20);
}

static long call_clear_no_new_privs(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
}

static long call_securebits(void)
{
    return prctl(PR_SET_SECUREBITS, 0, 0, 0, 0);
}

static const struct {
    const char *name;
    long (*function)(void);
} calls[] = {
    { "mount", call_mount },
    { "remount", call_remount },
    { "umount", call_umount },
    { "pivot_root", call_pivot_root },
    { "open_tree", call_open_tree },
    { "move_mount", call_move_mount },
    { "mount_setattr", call_mount_setattr },
    { "fsopen", call_fsopen },
    { "bpf", call_bpf },
    { "perf_event_open", call_perf_event_open },
    { "userfaultfd", call_userfaultfd },
    { "io_uring_setup", call_io_uring_setup },
    { "keyctl", call_keyctl },
    { "add_key", call_add_key },
    { "open_by_handle_at", call_open_by_handle_at },
    { "process_vm_readv", call_process_vm_readv },
    { "sethostname", call_sethostname },
    { "syslog", call_syslog },
    { "init_module", call_init_module },
    { "kexec_load", call_kexec_load },
    { "swapoff", call_swapoff },
    { "fanotify_init", call_fanotify_init },
    { "priority", call_priority },
    { "clear-no-new-privs", call_clear_no_new_privs },
    { "securebits", call_securebits },
};

static const char *make_call(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (strcmp(argv[0], calls[i].name) == 0)
            return calls[i].function() < 0 ? error_name(errno) : "ok";
    }
    (void)argc;
    return "unknown";
}

int try_system_calls(const char *name)
{
    int found = 0;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        if (!name || strcmp(name, calls[i].name) == 0) {
            char key[64];
            snprintf(key, sizeof key, "try.%s", calls[i].name);
            say(key, in_child(make_call, 1, (char *[]){ (char *)calls[i].name, NULL }));
            found = 1;
        }
    }
    return found;
}
