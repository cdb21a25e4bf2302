#include "proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "fd.h"
#include "mnt.h"

/* What says nothing of others and does not change: the time since boot is what clock_gettime(2) tells everybody. */
static bool is_harmless(const char *name)
{
    static const char *const names[] = { "cpuinfo", "filesystems", "uptime", "version" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* The time of boot, which a plan cannot know, and from which ps(1) reckons when a process was started. */
static long long boot_time(void)
{
    struct timespec now = { 0 }, since = { 0 }; /* every kernel has these clocks */
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &since);
    return now.tv_sec - since.tv_sec - (now.tv_nsec < since.tv_nsec);
}

void proc_write(const struct plan *plan, size_t record, int root)
{
    char *const *args = plan->records[record].args;
    char *text = args[1];
    if (strcmp(args[0], "stat") == 0 && asprintf(&text, "%sbtime %lld\n", args[1], boot_time()) < 0)
        refuse(R_SETUP, "cannot allocate memory", 0);
    int files = fd_walk(root, PROC_FILES, O_PATH | O_DIRECTORY, FD_ANY);
    if (files < 0 || !fd_write_new(files, args[0], text))
        refuse(R_TARGET, PROC_FILES, errno);
    close(files);
}

/* Lay a clone of the mount at a file or directory over a name in /proc. */
static void cover_name(int proc, const char *name, int from, const char *path)
{
    int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW | (*path ? 0 : AT_EMPTY_PATH);
    int mount = (int)syscall(SYS_open_tree, from, path, flags);
    if (mount < 0 || syscall(SYS_move_mount, mount, "", proc, name, MOVE_MOUNT_F_EMPTY_PATH) != 0)
        refuse(R_MASK, name, errno);
    close(mount);
}

static bool has_file(const struct plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count && plan->records[i].verb <= OP_PROC_FILE; i++)
        if (plan->records[i].verb == OP_PROC_FILE && strcmp(plan->records[i].args[0], name) == 0)
            return true;
    return false;
}

/* Cover all that is neither a process, nor a link to what a process has of its own, nor harmless. */
static void cover_rest(const struct plan *plan, int root, const struct empty *empty)
{
    int proc = fd_walk(root, "/proc", O_RDONLY | O_DIRECTORY, FD_ANY);
    int files = fd_walk(root, PROC_FILES, O_PATH | O_DIRECTORY, FD_ANY);
    DIR *names = proc < 0 ? NULL : fdopendir(proc);
    if (files < 0 || !names)
        refuse(R_MASK, "/proc", errno);
    for (struct dirent *entry; (errno = 0, entry = readdir(names));) {
        const char *name = entry->d_name;
        if (*name == '.' || (*name >= '0' && *name <= '9') || entry->d_type == DT_LNK || is_harmless(name))
            continue;
        if (has_file(plan, name))
            cover_name(proc, name, files, name);
        else
            cover_name(proc, name, entry->d_type == DT_DIR ? empty->directory : empty->file, "");
    }
    if (errno != 0)
        refuse(R_MASK, "/proc", errno);
    closedir(names);
    close(files);
}

void proc_build(const struct plan *plan, int root, const struct empty *empty)
{
    static const char *const bare[][2] = { { "hidepid", "2" }, { "subset", "pid" }, { NULL } };
    static const char *const whole[][2] = { { "hidepid", "2" }, { NULL } };
    bool system = plan_first(plan, OP_PROC_FILE);
    int mount = mnt_new("proc", system ? whole : bare, mnt_attributes(true, false));
    mnt_attach(mount, fd_walk(root, "/proc", O_PATH | O_DIRECTORY, FD_ANY));
    if (system)
        cover_rest(plan, root, empty);
}
