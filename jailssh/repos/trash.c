/* A repository that is deleted goes to a directory beside it that no client can ask for, and stays there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "place.h"
#include "references.h"
#include "say.h"

#define TRASH ".trash"
enum { STAMP = 16 /* 20260131T235959Z */, DIGITS = 8, BEHIND = 1 + STAMP + 1 + DIGITS };

static int open_trash(int dir)
{
    return openat(dir, TRASH, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Who may only read what is here, as a web server may, sees nothing that was deleted. */
static bool make_trash(int dir)
{
    struct stat st;
    if (mkdirat(dir, TRASH, 0777) != 0)
        return errno == EEXIST;
    int fd = openat(dir, TRASH, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool made = fd >= 0 && fstat(fd, &st) == 0 && ((st.st_mode & S_IWGRP) || fchmod(fd, 0700) == 0);
    if (fd >= 0)
        close(fd);
    return made;
}

/* NAME.STAMP.DIGITS in the trash: the later one is the greater text. */
static bool name_in_trash(char *text, size_t size, const char *name)
{
    char stamp[STAMP + 1], digits[DIGITS + 1];
    time_t now = time(NULL);
    struct tm parts;
    if (!gmtime_r(&now, &parts) || strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &parts) != STAMP ||
        !place_random(digits, DIGITS))
        return false;
    int n = snprintf(text, size, "%s.%s.%s", name, stamp, digits);
    return n > 0 && (size_t)n < size;
}

void delete (const char *path)
{
    char text[NAME_MAX + 1];
    const char *name;
    int dir = place_above(path, &name), git = place_git_directory(path);
    references_must_all(path, git, ACT_DELETE, "delete");
    if (!name_in_trash(text, sizeof text, name))
        say_and_end(1, path, "the name is too long for the trash", 0);
    if (!make_trash(dir))
        say_and_end(1, path, "cannot make the trash", errno);
    int trash = open_trash(dir);
    if (trash < 0)
        say_and_end(1, path, "cannot open the trash", errno);
    if (!place_move(dir, name, trash, text))
        say_and_end(1, path, "cannot be moved to the trash", errno);
    place_sync(dir, TRASH);
    place_sync(dir, ".");
    say_short(stdout, path);
    fputs(" is in the trash; 'restore ", stdout);
    say_short(stdout, path);
    fputs("' takes it back\n", stdout);
}

/* True if ENTRY is NAME as it was moved here. */
static bool is_of(const char *entry, const char *name)
{
    size_t n = strlen(name);
    const char *stamp = entry + n + 1, *digits = stamp + STAMP + 1;
    return strlen(entry) == n + BEHIND && memcmp(entry, name, n) == 0 && entry[n] == '.' && digits[-1] == '.' &&
           strspn(stamp, "0123456789TZ") == STAMP && strspn(digits, "0123456789abcdef") == DIGITS;
}

void restore(const char *path)
{
    char newest[NAME_MAX + 1] = "";
    const char *name;
    int dir = place_above(path, &name), trash = open_trash(dir);
    int fd = trash < 0 ? -1 : openat(trash, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    if (!list && errno != ENOENT)
        say_and_end(1, path, "cannot read the trash", errno);
    for (struct dirent *entry; list && (entry = readdir(list));)
        if (is_of(entry->d_name, name) && strcmp(entry->d_name, newest) > 0)
            snprintf(newest, sizeof newest, "%s", entry->d_name);
    if (!*newest)
        say_and_end(1, path, "is not in the trash", 0);
    char inside[PATH_MAX];
    int n = snprintf(inside, sizeof inside, "%.*s/" TRASH "/%s", (int)(name - 1 - path), path, newest);
    if (n < 0 || (size_t)n >= sizeof inside)
        say_and_end(1, path, "the name is too long", 0);
    references_must_all(path, place_git_directory(inside), ACT_CREATE, "create");
    if (!place_move(trash, newest, dir, name))
        say_and_end(1, path, "cannot be moved back", errno);
    place_sync(dir, TRASH);
    place_sync(dir, ".");
    say_short(stdout, path);
    fputs(" is back\n", stdout);
}
