#include <stdlib.h>
#include <string.h>

#include "readable.h"
#include "say.h"

void say_text(FILE *to, const char *text)
{
    while (*text) {
        size_t n = readable(text);
        if (n > 0)
            fwrite(text, 1, n, to);
        else
            putc('?', to);
        text += n > 0 ? n : 1;
    }
}

void say_name(FILE *to, const char *path, size_t left_out)
{
    const char *roots = getenv("JAILSSH_ROOTS");
    size_t n = roots ? strcspn(roots, "\n") : 0;
    const char *from = n > 1 && strncmp(path, roots, n) == 0 && path[n] == '/' && path[n + 1] ? path + n + 1 : path;
    char *name = strndup(from, strlen(from) - left_out);
    if (name)
        say_text(to, name);
    free(name);
}

void say_short(FILE *to, const char *path)
{
    size_t n = strlen(path);
    say_name(to, path, n > 5 && strcmp(path + n - 4, ".git") == 0 && path[n - 5] != '/' ? 4 : 0);
}

noreturn void say_and_end(int code, const char *path, const char *why, int error)
{
    fflush(stdout);
    fputs("jailssh: ", stderr);
    say_short(stderr, path);
    fputs(": ", stderr);
    say_text(stderr, why);
    fprintf(stderr, "%s%s\n", error ? ": " : "", error ? strerror(error) : "");
    exit(code);
}
