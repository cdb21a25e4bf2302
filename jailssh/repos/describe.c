/* The file "description" of a repository, gitrepository-layout(5). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "place.h"
#include "readable.h"
#include "say.h"

#define NAME "description"
#define BEGUN "description.new"
enum { TEXT_MOST = 500 };

/* What git itself writes there, which says nothing. */
static const char unnamed[] = "Unnamed repository";

void describe(const char *path)
{
    char text[TEXT_MOST + 1] = "";
    struct stat st;
    int dir = place_git_directory(path);
    int fd = openat(dir, NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read(fd, text, TEXT_MOST) < 0)
        say_and_end(1, path, "cannot read the description", errno);
    text[strcspn(text, "\n")] = '\0';
    if (*text && strncmp(text, unnamed, strlen(unnamed)) != 0) {
        say_text(stdout, text);
        putc('\n', stdout);
    } else {
        say_and_end(1, path, "has no description", 0);
    }
}

static bool write_all(int fd, const char *text, size_t n)
{
    for (ssize_t done; n > 0; text += done, n -= (size_t)done)
        if ((done = write(fd, text, n)) < 0)
            return false;
    return fsync(fd) == 0;
}

void set_description(const char *path, char *const *words, size_t count)
{
    char text[TEXT_MOST + 2] = "";
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        size_t more = strlen(words[i]);
        if (n + more + 1 > TEXT_MOST)
            say_and_end(1, path, "the description is longer than 500 bytes", 0);
        if (i > 0)
            text[n++] = ' ';
        memcpy(text + n, words[i], more + 1);
        n += more;
    }
    for (const char *at = text; *at; at += readable(at))
        if (readable(at) == 0)
            say_and_end(1, path, "the description has characters that cannot be shown", 0);
    text[n++] = '\n';
    int dir = place_git_directory(path);
    unlinkat(dir, BEGUN, 0);
    int fd = openat(dir, BEGUN, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0 || !write_all(fd, text, n) || renameat(dir, BEGUN, dir, NAME) != 0) {
        int error = errno;
        if (fd >= 0)
            unlinkat(dir, BEGUN, 0);
        say_and_end(1, path, "cannot write the description", error);
    }
    close(fd);
    say_short(stdout, path);
    fputs(" is described\n", stdout);
}
