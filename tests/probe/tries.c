/* Forbidden things, tried: each in a child of its own, so that one that kills or succeeds does not spoil the next. */
#include "probe.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

const char *outcome(long result)
{
    return result < 0 ? error_name(errno) : "ok";
}

const char *argument(int argc, char **argv, int index, const char *otherwise)
{
    return argc > index ? argv[index] : otherwise;
}

static const struct attempt *const tables[] = { process_attempts, world_attempts };

static const struct attempt *find(const char *name)
{
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        for (const struct attempt *at = tables[i]; at->name; at++) {
            if (strcmp(name, at->name) == 0)
                return at;
        }
    }
    return NULL;
}

/* What is tried with paths by "all", beside the table. */
static const char *const nodes[] = { "/dev/mem",  "/dev/kmsg", "/dev/vda",  "/dev/sda",     "/dev/loop0",
                                     "/dev/fuse", "/dev/kvm",  "/dev/tty0", "/dev/console", "/dev/net/tun" };
static const char *const places[] = { "/probe-file",     "/etc/probe-file", "/bin/probe-file", "/usr/probe-file",
                                      "/lib/probe-file", "/dev/probe-file", "/home/probe-file" };

static void report(const char *name, const char *path, const char *result)
{
    char key[256];
    snprintf(key, sizeof key, "try.%s%s%s", name, path ? ":" : "", path ? path : "");
    say(key, result);
}

static void try_paths(const char *name, const char *mode, const char *const *paths, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char *words[] = { (char *)paths[i], (char *)mode, NULL };
        report(name, paths[i], in_child(find("open")->function, 2, words));
    }
}

static void try_one(const struct attempt *attempt, int argc, char **argv)
{
    if (argc == 0) {
        argv = (char **)attempt->arguments;
        while (argc < 3 && argv[argc])
            argc++;
    }
    report(attempt->name, NULL, in_child(attempt->function, argc, argv));
}

static void try_all(void)
{
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        for (const struct attempt *at = tables[i]; at->name; at++)
            try_one(at, 0, NULL);
    }
    try_system_calls(NULL);
    try_paths("open", "rw", nodes, sizeof nodes / sizeof *nodes);
    try_paths("create", "create", places, sizeof places / sizeof *places);
}

int print_tries(int argc, char **argv)
{
    if (argc < 1)
        return 2;
    const struct attempt *attempt = find(argv[0]);
    if (attempt) {
        try_one(attempt, argc - 1, argv + 1);
    } else if (strcmp(argv[0], "all") == 0) {
        try_all();
    } else if (!try_system_calls(argv[0])) {
        fprintf(stderr, "probe: no attempt %s\n", argv[0]);
        return 2;
    }
    return 0;
}
