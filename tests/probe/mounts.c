/* The mounts that this process sees: PATH|TYPE|FLAGS, of the mount and (sb-) of its file system. */
#define _GNU_SOURCE
#include "probe.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

struct statmount_request {
    uint32_t size, spare;
    uint64_t id, param;
};

/* The first part of struct statmount, linux/mount.h; the strings begin at 512. */
struct statmount_answer {
    uint32_t size, options;
    uint64_t mask;
    uint32_t major, minor;
    uint64_t magic;
    uint32_t sb_flags, fs_type;
    uint64_t id, parent;
    uint32_t old_id, old_parent;
    uint64_t attributes, propagation, peer_group, master, propagate_from;
    uint32_t root, point;
    uint8_t reserved[512 - 112];
    char strings[8192 - 512];
};

static void print_mount(const char *path, const char *type, const char *flags)
{
    char line[8192];
    snprintf(line, sizeof line, "%s|%s|%s", path, type, flags);
    say("mount", line);
}

static int mounts_by_statmount(void)
{
    enum { SYS_STATMOUNT = 457, SYS_LISTMOUNT = 458 };
    static uint64_t found[4096];
    static struct statmount_answer answer;
    struct statmount_request request = { 24, 0, UINT64_MAX, 0 };
    char flags[128];

    _Static_assert(sizeof answer == 8192, "the layout of struct statmount");
    long count = syscall(SYS_LISTMOUNT, &request, found, 4096L, 0L);
    for (long i = 0; i < count; i++) {
        request.id = found[i];
        request.param = 0x1 | 0x2 | 0x10 | 0x20; /* SB_BASIC, MNT_BASIC, MNT_POINT, FS_TYPE */
        if (syscall(SYS_STATMOUNT, &request, &answer, sizeof answer, 0L) != 0)
            return -1;
        snprintf(flags, sizeof flags, "%s%s%s%s,sb-%s%s%s", answer.attributes & 1 ? "ro" : "rw",
                 answer.attributes & 2 ? ",nosuid" : "", answer.attributes & 4 ? ",nodev" : "",
                 answer.attributes & 8 ? ",noexec" : "", answer.sb_flags & 1 ? "ro" : "rw",
                 answer.propagation & (1 << 20) ? ",shared" : "", answer.propagation & (1 << 19) ? ",slave" : "");
        print_mount(answer.strings + answer.point, answer.strings + answer.fs_type, flags);
    }
    return count < 0 ? -1 : 0;
}

static const char *if_has(const char *options, const char *name)
{
    size_t length = strlen(name);
    for (const char *at = options; (at = strstr(at, name)); at += length) {
        if ((at == options || at[-1] == ',') && (at[length] == ',' || at[length] == 0))
            return name;
    }
    return "";
}

/* ID PARENT MAJ:MIN ROOT POINT OPTIONS [TAG…] - TYPE SOURCE SUPER, proc_pid_mountinfo(5) */
static int mounts_by_mountinfo(void)
{
    static char line[16384], point[4096], options[4096], type[256], super[4096];
    FILE *file = fopen("/proc/self/mountinfo", "re");
    char flags[128];

    if (!file)
        return -1;
    while (fgets(line, sizeof line, file)) {
        char *tail = strstr(line, " - ");
        if (!tail || sscanf(line, "%*s %*s %*s %*s %4095s %4095s", point, options) != 2 ||
            sscanf(tail, " - %255s %*s %4095s", type, super) != 2)
            continue;
        *tail = 0;
        const char *nosuid = if_has(options, "nosuid"), *nodev = if_has(options, "nodev");
        const char *noexec = if_has(options, "noexec");
        snprintf(flags, sizeof flags, "%s%s%s%s%s%s%s,sb-%s%s%s", *if_has(options, "ro") ? "ro" : "rw",
                 *nosuid ? "," : "", nosuid, *nodev ? "," : "", nodev, *noexec ? "," : "", noexec,
                 *if_has(super, "ro") ? "ro" : "rw", strstr(line, " shared:") ? ",shared" : "",
                 strstr(line, " master:") ? ",slave" : "");
        print_mount(point, type, flags);
    }
    fclose(file);
    return 0;
}

void print_mounts(void)
{
    static const char *const usual[] = { "/", "/tmp", "/dev", "/dev/pts", "/dev/shm", "/proc", "/home", "/run" };
    struct statfs info;

    if (mounts_by_statmount() == 0 || mounts_by_mountinfo() == 0)
        return;
    for (unsigned i = 0; i < sizeof usual / sizeof *usual; i++) {
        char flags[64];
        if (statfs(usual[i], &info) != 0)
            continue;
        snprintf(flags, sizeof flags, "%s%s%s%s", info.f_flags & 1 ? "ro" : "rw", info.f_flags & 2 ? ",nosuid" : "",
                 info.f_flags & 4 ? ",nodev" : "", info.f_flags & 8 ? ",noexec" : "");
        print_mount(usual[i], "unknown", flags);
    }
}
