#include <stdio.h>
#include <string.h>

#include "../refs/name.h"
#include "references.h"
#include "run.h"
#include "say.h"

struct asked {
    struct rights rights;
    enum act act;
    char refused[NAME_MOST + 1];
};

void references_read(const char *path, struct rights *rights)
{
    const char *wrong = rights_read(rights);
    if (wrong)
        say_and_end(1, path, wrong, 0);
}

static void judge(void *context, const char *line)
{
    struct asked *asked = context;
    if (!*asked->refused && (!name_is_good(line) || !rights_give(&asked->rights, asked->act, line)))
        snprintf(asked->refused, sizeof asked->refused, "%s", line);
}

void references_must_all(const char *path, int dir, enum act act, const char *doing)
{
    static const char *const words[] = { "git", "--git-dir=.", "for-each-ref", "--format=%(refname)", NULL };
    static struct asked asked;
    asked = (struct asked){ .act = act };
    references_read(path, &asked.rights);
    if (!asked.rights.ruled)
        return;
    if (!run_git_lines(dir, words, judge, &asked))
        say_and_end(1, path, "git cannot list its references", 0);
    if (!*asked.refused)
        return;
    char why[NAME_MOST + 64];
    snprintf(why, sizeof why, "no right to %s %s, which it has", doing, asked.refused);
    say_and_end(EXIT_NO_RIGHT, path, why, 0);
}
