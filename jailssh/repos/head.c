/* The branch that HEAD stands for: what a clone checks out. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../refs/name.h"
#include "commands.h"
#include "place.h"
#include "references.h"
#include "run.h"
#include "say.h"

#define BRANCHES "refs/heads/"

static bool is_there(int dir, const char *ref)
{
    const char *const words[] = { "git", "--git-dir=.", "show-ref", "--verify", "--quiet", "--", ref, NULL };
    return run_git(dir, words);
}

static void note(void *context, const char *line)
{
    (void)line;
    *(bool *)context = true;
}

static bool has_branches(int dir)
{
    static const char *const words[] = { "git", "--git-dir=.", "for-each-ref", "--count=1", "refs/heads", NULL };
    bool any = false;
    return !run_git_lines(dir, words, note, &any) || any;
}

/* Where the table has rights to references, HEAD is for who may push to what it stands for and to what it shall stand
 * for: pushing there shows no less to who clones. */
static bool may(const struct rights *rights, int dir, const char *ref)
{
    char target[NAME_MOST + 1];
    return rights_give(rights, is_there(dir, ref) ? ACT_PUSH : ACT_CREATE, ref) &&
           name_points(ref, target) == POINTS_NOWHERE;
}

void set_head(const char *path, const char *branch)
{
    char ref[NAME_MOST + 1], now[NAME_MOST + 1];
    struct rights rights;
    int dir = place_git_directory(path);
    int n = snprintf(ref, sizeof ref, BRANCHES "%s", branch);
    if (n < 0 || (size_t)n >= sizeof ref || *branch == '-' || !name_is_good(ref))
        say_and_end(1, path, "this is not the name of a branch", 0);
    if (!is_there(dir, ref) && has_branches(dir))
        say_and_end(1, path, "has no branch of this name", 0);
    references_read(path, &rights);
    if (rights.ruled) {
        if (fchdir(dir) != 0 || access("reftable", F_OK) == 0 || access("commondir", F_OK) == 0)
            say_and_end(EXIT_NO_RIGHT, path, "rights to references are not for this form of repository", 0);
        enum points points = name_points("HEAD", now);
        if (points == POINTS_UNKNOWN)
            say_and_end(EXIT_NO_RIGHT, path, "what HEAD stands for cannot be found out", 0);
        if (!may(&rights, dir, ref) || (points == POINTS_ELSEWHERE && !may(&rights, dir, now)))
            say_and_end(EXIT_NO_RIGHT, path, "no right to push to the branch that HEAD stands for, or shall", 0);
    }
    const char *const words[] = { "git", "--git-dir=.", "symbolic-ref", "HEAD", ref, NULL };
    if (!run_git(dir, words))
        say_and_end(1, path, "git cannot change HEAD", 0);
    say_short(stdout, path);
    fputs(" has HEAD at ", stdout);
    say_text(stdout, branch);
    putc('\n', stdout);
}
