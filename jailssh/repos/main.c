/* jailssh-repos: the commands of git accounts, `ssh git@host info` and others, in images.  The login program has judged
 * who may give which command for which repository; here it is done, as the jailed account.
 *
 * Its environment is the plan's (plugins/git/serving.py, commands.py).  Nothing that a repository holds is a setting
 * for it but what git itself reads, with the switches with which it serves. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "say.h"

static bool is(const char *word, const char *command, int argc, int least, int most)
{
    return strcmp(word, command) == 0 && argc - 2 >= least && argc - 2 <= most;
}

int main(int argc, char **argv)
{
    enum { MANY = 1000 };
    const char *word = argc > 1 ? argv[1] : "";
    if (is(word, "info", argc, 0, 0) || is(word, "list", argc, 0, 0))
        list(*word == 'i');
    else if (is(word, "create", argc, 1, 1))
        create(argv[2], false);
    else if (is(word, "ensure", argc, 1, 1))
        create(argv[2], true);
    else if (is(word, "describe", argc, 1, 1))
        describe(argv[2]);
    else if (is(word, "describe", argc, 2, MANY))
        set_description(argv[2], argv + 3, (size_t)argc - 3);
    else if (is(word, "set-head", argc, 2, 2))
        set_head(argv[2], argv[3]);
    else if (is(word, "delete", argc, 1, 1))
        delete (argv[2]);
    else if (is(word, "restore", argc, 1, 1))
        restore(argv[2]);
    else {
        fputs("usage: jailssh-repos COMMAND [REPOSITORY [WORD...]]\n", stderr);
        return 2;
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
