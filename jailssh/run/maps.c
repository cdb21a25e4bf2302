#include "maps.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "creds.h"
#include "fail.h"
#include "fd.h"

enum { MOST = 340, WORD = 24 }; /* lines of a map (user_namespaces(7)); bytes of a number */

struct map {
    enum plan_verb verb;
    const char *file, *helper;
    unsigned own;
};

static bool write_in(int process, const char *name, const char *text)
{
    int fd = fd_walk(process, name, O_WRONLY, FD_ANY);
    bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    int error = errno;
    close(fd);
    errno = error;
    return done;
}

/* The one line of who has no more than the own id. */
static bool is_own(const struct plan *plan, const struct map *map)
{
    size_t lines = 0, own = 0;
    for (size_t i = 0; i < plan->count; i++) {
        char *const *args = plan->records[i].args;
        if (plan->records[i].verb != map->verb)
            continue;
        lines++;
        own += plan_number(args[1], 10) == map->own && plan_number(args[2], 10) == 1;
    }
    return lines == 1 && own == 1;
}

static void write_map(const struct plan *plan, const struct map *map, int process)
{
    static char text[4096];
    size_t n = 0;
    for (size_t i = 0; i < plan->count && n < sizeof text; i++) {
        char *const *args = plan->records[i].args;
        if (plan->records[i].verb == map->verb)
            n += (size_t)snprintf(text + n, sizeof text - n, "%s %s %s\n", args[0], args[1], args[2]);
    }
    if (n >= sizeof text || !write_in(process, map->file, text))
        refuse(R_SETUP, map->file, n >= sizeof text ? E2BIG : errno);
}

/* By the helper, which knows /etc/subuid and /etc/subgid.  It says itself what it does not like. */
static void ask_helper(const struct plan *plan, const struct map *map, pid_t pid)
{
    static char *argv[2 + 3 * MOST + 1];
    static char number[WORD];
    size_t n = 0;
    snprintf(number, sizeof number, "%d", pid);
    argv[n++] = (char *)map->helper;
    argv[n++] = number;
    for (size_t i = 0; i < plan->count && n + 3 < sizeof argv / sizeof *argv; i++)
        for (int word = 0; word < 3 && plan->records[i].verb == map->verb; word++)
            argv[n++] = plan->records[i].args[word];
    pid_t child = fork();
    if (child == 0) {
        static char *none[1];
        sigset_t no_signals;
        sigemptyset(&no_signals);
        sigprocmask(SIG_SETMASK, &no_signals, NULL);
        execve(map->helper, argv, none);
        refuse(R_SETUP, map->helper, errno);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        refuse(R_SETUP, "these ids are not granted to you: see /etc/subuid and /etc/subgid", 0);
}

void maps_write(const struct plan *plan, pid_t pid)
{
    const struct map maps[] = { { OP_GID_MAP, "gid_map", "/usr/bin/newgidmap", getegid() },
                                { OP_UID_MAP, "uid_map", "/usr/bin/newuidmap", geteuid() } };
    char path[WORD + 8];
    snprintf(path, sizeof path, "/proc/%d", pid);
    int process = fd_walk(AT_FDCWD, path, O_PATH | O_DIRECTORY, FD_ANY);
    if (process < 0)
        refuse(R_SETUP, "cannot open the process of the command", errno);
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        bool own = is_own(plan, &maps[i]);
        if (geteuid() != 0 && !own) {
            ask_helper(plan, &maps[i], pid);
            continue;
        }
        /* Who could leave a group could reach what is denied to that group (user_namespaces(7)). */
        if (geteuid() != 0 && maps[i].verb == OP_GID_MAP && !write_in(process, "setgroups", "deny"))
            refuse(R_SETUP, "setgroups", errno);
        write_map(plan, &maps[i], process);
    }
    close(process);
}

static bool has(const struct plan *plan, enum plan_verb verb, unsigned long id)
{
    for (size_t i = 0; i < plan->count; i++) {
        char *const *args = plan->records[i].args;
        if (plan->records[i].verb == verb && plan_number(args[0], 10) <= id &&
            id - plan_number(args[0], 10) < plan_number(args[2], 10))
            return true;
    }
    return false;
}

void maps_enter(const struct plan *plan)
{
    uid_t uid = has(plan, OP_UID_MAP, 0) ? 0 : plan->uid;
    gid_t gid = has(plan, OP_GID_MAP, 0) ? 0 : plan->gid;
    if (!has(plan, OP_UID_MAP, plan->uid) || !has(plan, OP_GID_MAP, plan->gid))
        refuse(R_DROP, "user or group of the command is not in the maps", 0);
    if (prctl(PR_SET_KEEPCAPS, 1) != 0 || !creds_set_gids(gid, gid, gid) || !creds_set_uids(uid, uid, uid))
        refuse(R_DROP, "cannot become the root of the user namespace", errno);
}
