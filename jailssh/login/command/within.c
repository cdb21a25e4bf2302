/* A jail that several plugins share shows the directories of all of them.  A rule that names its own gets no others,
 * whatever the links in them say and whoever changes them between the check and the use. */
#include "within.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"
#include "plan.h"

/* The first with which files can be moved between directories below one rule; headers of older distributions lack what
 * came later. */
enum { REFER_ABI = 2, TRUNCATE_ABI = 3, RULESET_VERSION = 1, RULE_PATH_BENEATH = 1 };
static const uint64_t READ = 1u << 2 | 1u << 3;                                  /* READ_FILE READ_DIR */
static const uint64_t CHANGE = 1u << 1 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | /* WRITE_FILE REMOVE_DIR REMOVE_FILE */
                               1u << 8 | 1u << 9 | 1u << 10 | 1u << 11 | 1u << 12 | /* and MAKE_* */
                               1u << 13;                                            /* REFER */
static const uint64_t TRUNCATE = 1u << 14;
static const uint64_t OF_FILES = 1u << 1 | 1u << 2 | 1u << 14;

struct beneath {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

/* A directory that a rule may write, and that nobody has made yet: its program could not, as it is held to it. */
static void make(const struct plan *plan, const char *path)
{
    char *const *mask = plan_first(plan, OP_UMASK);
    char part[4096];
    umask(mask ? (mode_t)plan_number(mask[0], 8) : 022);
    for (size_t n = 1; path[n - 1]; n++)
        if (path[n] == '/' || path[n] == '\0') {
            memcpy(part, path, n);
            part[n] = '\0';
            (void)!mkdir(part, 0777);
        }
}

static void allow(int ruleset, const char *path, uint64_t rights)
{
    struct stat st;
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return; /* an optional directory that is not there */
    if (fd < 0 || fstat(fd, &st) != 0)
        refuse(R_WITHIN, path, errno);
    struct beneath rule = { S_ISDIR(st.st_mode) ? rights : rights & OF_FILES, fd };
    if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) != 0)
        refuse(R_WITHIN, path, errno);
    close(fd);
}

/* Is NAME, an entry of the root, where directories of the host are shown?  The plan lays a small tmpfs over these. */
static bool shows_host(const struct plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->count && plan->records[i].verb <= OP_TMPFS; i++)
        if (plan->records[i].verb == OP_TMPFS && strcmp(plan->records[i].args[0] + 1, name) == 0)
            return strcmp(plan->records[i].args[3], "ro") == 0 && strcmp(name, "run") != 0;
    return false;
}

static void allow_the_rest(const struct plan *plan, int ruleset, uint64_t change)
{
    DIR *root = opendir("/");
    if (!root)
        refuse(R_WITHIN, "/", errno);
    for (struct dirent *entry; (entry = readdir(root));) {
        char path[sizeof entry->d_name + 1];
        if (entry->d_name[0] == '.' || shows_host(plan, entry->d_name))
            continue;
        snprintf(path, sizeof path, "/%s", entry->d_name);
        bool writable = strcmp(path, "/tmp") == 0 || strcmp(path, "/dev") == 0 || strcmp(path, "/proc") == 0;
        allow(ruleset, path, READ | (writable ? change : 0));
    }
    closedir(root);
}

int within_open(const struct plan *plan, size_t rule)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
    uint64_t change = CHANGE | (abi >= TRUNCATE_ABI ? TRUNCATE : 0), handled = READ | change;
    size_t at = rule;
    if (abi < REFER_ABI || !rule_first(plan, rule, OP_WITHIN))
        return -1;
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof handled, 0);
    if (ruleset < 0)
        refuse(R_WITHIN, "cannot create the Landlock rules", errno);
    allow_the_rest(plan, ruleset, change);
    for (char *const *args; (args = rule_next(plan, OP_WITHIN, &at));) {
        bool writable = strcmp(args[1], "rw") == 0;
        if (writable && access(args[0], F_OK) != 0)
            make(plan, args[0]);
        allow(ruleset, args[0], READ | (writable ? change : 0));
    }
    return ruleset;
}

bool within_enter(int ruleset)
{
    return ruleset < 0 || syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
}
