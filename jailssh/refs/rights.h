/* The rights to references that the plan gives, by the environment: nothing that a repository says changes them.
 *
 * JAILSSH_REPOSITORY is the repository's path, JAILSSH_REFS_0 and so on are lines "WORD REPOSITORY REF", in the order
 * of the table; a line "ruled REPOSITORY" is for repositories to which the table has rights to references for anybody.
 */
#ifndef JAILSSH_REFS_RIGHTS_H
#define JAILSSH_REFS_RIGHTS_H

#include <stdbool.h>
#include <stddef.h>

enum act {
    ACT_PUSH = 1,
    ACT_REWIND = 2,
    ACT_CREATE = 4,
    ACT_DELETE = 8,
    ACT_ANY = 15,
};

struct right {
    const char *ref; /* a pattern */
    unsigned acts;
    bool denies;
};

struct rights {
    struct right *list;
    size_t count;
    bool ruled; /* else everything may be pushed that the right to the repository lets through */
};

/* Take what holds for the repository; nothing of it is ever given back.  Returns what is wrong, NULL if nothing is. */
const char *rights_read(struct rights *rights);

/* True if ACT may be done to the reference NAME: the first line that gives it or takes it away decides. */
bool rights_give(const struct rights *rights, enum act act, const char *name);

#endif
