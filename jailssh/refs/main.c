/* jailssh-refs: hooks of git in images, githooks(5), by the name that git calls it by.
 *
 * As proc-receive it decides for each reference of a push, in one process, by the rights in the plan; git does what is
 * let through.  Whatever is wrong here refuses: git takes no reference for which there is no answer.
 *
 * As post-receive it runs what the administrator has set for what was pushed (after.h). */
#include <stdio.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <unistd.h>

#include "after.h"
#include "git.h"
#include "line.h"
#include "name.h"
#include "rights.h"

enum { COMMANDS_MOST = 1 << 20, LINKS_MOST = 5 };

struct command {
    char *old, *new, *ref;
    const char *refused;
    bool silent; /* its name cannot stand in an answer */
};

static struct {
    struct command *list, **sorted;
    size_t count;
    bool atomic;
} push;

/* The text goes to who pushes: nothing of the client's is in it. */
static noreturn void fail(const char *why)
{
    fprintf(stderr, "jailssh: %s, so nothing is pushed\n", why);
    exit(EXIT_FAILURE);
}

static bool is_id(const char *text)
{
    size_t n = strlen(text);
    return (n == 40 || n == 64) && strspn(text, "0123456789abcdef") == n;
}

static bool is_null(const char *id)
{
    return id[strspn(id, "0")] == '\0';
}

static void add_command(const char *text)
{
    enum { FIRST = 64 };
    if (push.count == COMMANDS_MOST)
        fail("these are too many references");
    if (push.count == 0 || (push.count >= FIRST && (push.count & (push.count - 1)) == 0)) {
        size_t room = push.count ? 2 * push.count : FIRST;
        push.list = realloc(push.list, room * sizeof *push.list);
    }
    char *copy = strdup(text), *rest = copy;
    if (!push.list || !copy)
        fail("there is no memory");
    struct command *command = &push.list[push.count++];
    command->old = strsep(&rest, " ");
    command->new = strsep(&rest, " ");
    command->ref = rest;
    command->refused = NULL;
    if (!rest || !is_id(command->old) || !is_id(command->new))
        fail("git does not say what is to be pushed");
    command->silent = !name_is_good(command->ref);
}

static bool has_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = text; *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strcspn(at, " ") == n && memcmp(at, word, n) == 0)
            return true;
    return false;
}

static void read_push(void)
{
    static char text[LINE_MOST + 1];
    size_t length;
    if (line_read(text, &length) != LINE_TEXT || strcmp(text, "version=1") != 0)
        fail("this git is not known here");
    push.atomic = strlen(text) < length && has_word(text + strlen(text) + 1, "atomic");
    if (line_read(text, &length) != LINE_FLUSH || !line_write("version=1", "", "", "") || !line_flush())
        fail("git does not say what is to be pushed");
    enum line kind;
    while ((kind = line_read(text, &length)) == LINE_TEXT) {
        if (strlen(text) != length)
            fail("git does not say what is to be pushed");
        add_command(text);
    }
    if (kind != LINE_FLUSH)
        fail("git does not say what is to be pushed");
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct command *const *)a)->ref, (*(struct command *const *)b)->ref);
}

/* git gives an answer to the first reference of that name. */
static void refuse_doubles(void)
{
    push.sorted = calloc(push.count + 1, sizeof(struct command *));
    if (!push.sorted)
        fail("there is no memory");
    for (size_t i = 0; i < push.count; i++)
        push.sorted[i] = &push.list[i];
    qsort(push.sorted, push.count, sizeof(struct command *), by_name);
    for (size_t i = 1; i < push.count; i++)
        if (strcmp(push.sorted[i - 1]->ref, push.sorted[i]->ref) == 0)
            fail("a reference is there twice");
}

/* Who has a tag relies on it: also in a namespace, refs/namespaces/NAME/refs/tags/. */
static bool is_tag(const char *ref)
{
    return strstr(ref, "refs/tags/") != NULL;
}

static const char *judged(const struct rights *rights, const struct command *command, const char *ref)
{
    if (is_null(command->new))
        return rights_give(rights, ACT_DELETE, ref) ? NULL : "no right to delete it";
    if (is_null(command->old))
        return rights_give(rights, ACT_CREATE, ref) ? NULL : "no right to create it";
    if (rights_give(rights, ACT_REWIND, ref))
        return NULL;
    if (!rights_give(rights, ACT_PUSH, ref))
        return "no right to push to it";
    return !is_tag(ref) && git_leads(command->old, command->new) ? NULL : "no right to rewind it";
}

/* A symbolic reference takes what it stands for along, so both names need the right. */
static const char *judged_by_all_names(const struct rights *rights, const struct command *command)
{
    static char names[2][NAME_MOST + 1];
    const char *name = command->ref, *why = NULL;
    for (int i = 0; !why; i++) {
        char *target = names[i % 2];
        why = judged(rights, command, name);
        enum points points = why ? POINTS_NOWHERE : name_points(name, target);
        if (why || points == POINTS_NOWHERE)
            break;
        if (points == POINTS_UNKNOWN || i == LINKS_MOST)
            why = "what it stands for cannot be found out";
        name = target;
    }
    return why;
}

static void judge(const struct rights *rights)
{
    bool refused = false;
    for (size_t i = 0; i < push.count; i++) {
        struct command *command = &push.list[i];
        if (command->silent)
            fputs("jailssh: a name is not one that a reference can have, so it is refused\n", stderr);
        else
            command->refused = judged_by_all_names(rights, command);
        refused = refused || command->silent || command->refused;
    }
    for (size_t i = 0; push.atomic && refused && i < push.count; i++)
        if (!push.list[i].refused)
            push.list[i].refused = "another reference of the atomic push is refused";
}

static void answer(void)
{
    for (size_t i = 0; i < push.count; i++) {
        const struct command *command = &push.list[i];
        bool sent = true;
        if (command->silent)
            continue;
        if (command->refused)
            sent = line_write("ng ", command->ref, " ", command->refused);
        else
            sent = line_write("ok ", command->ref, "", "") && line_write("option fall-through", "", "", "");
        if (!sent)
            fail("git does not listen");
    }
    if (!line_flush())
        fail("git does not listen");
}

static bool is_called(const char *path, const char *name)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash && strcmp(slash + 1, name) == 0;
}

int main(int argc, char **argv)
{
    struct rights rights;
    if (argc > 0 && is_called(argv[0], "post-receive"))
        return after_push();
    const char *wrong = rights_read(&rights);
    if (wrong)
        fail(wrong);
    if (access("HEAD", F_OK) != 0 || access("refs", F_OK) != 0)
        fail("this is not the repository");
    if (rights.ruled && (access("reftable", F_OK) == 0 || access("commondir", F_OK) == 0))
        fail("rights to references are not for this form of repository");
    read_push();
    refuse_doubles();
    judge(&rights);
    answer();
    return EXIT_SUCCESS;
}
