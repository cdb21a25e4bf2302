/* The only reader of the arguments and the environment. */
#include "env.h"
#include "kind.h"
#include "view.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

#define ALNUM "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

#define ENTER_NAME "jailssh-enter"

enum { ENV_KEPT = 24 };

/* A variable passes only by name and by value: MUST 9 of README.md.  A trailing * stands for any [A-Z_] rest. */
static const struct {
    const char *name;
    const char *allowed;
    size_t most;
} passing[] = {
    { "TERM", ALNUM "._+-", 64 },          { "COLORTERM", ALNUM "._+-", 32 },
    { "LANG", ALNUM "_.@-", 64 },          { "LC_*", ALNUM "_.@-", 64 },
    { "GIT_PROTOCOL", ALNUM "=:.-", 128 }, { "SSH_CONNECTION", ALNUM ".:%_- ", 256 },
    { "SSH_CLIENT", ALNUM ".:%_- ", 256 },
};

static bool name_fits(const char *pattern, const char *name, size_t length)
{
    size_t n = strlen(pattern);
    if (pattern[n - 1] != '*')
        return length == n && memcmp(pattern, name, n) == 0;
    return length >= n && length < 32 && memcmp(pattern, name, n - 1) == 0 &&
           strspn(name + n - 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") == length - (n - 1);
}

static bool may_pass(const char *entry, const char **value)
{
    const char *equals = strchr(entry, '=');
    if (!equals)
        return false;
    *value = equals + 1;
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++) {
        if (!name_fits(passing[i].name, entry, (size_t)(equals - entry)))
            continue;
        size_t length = strnlen(*value, passing[i].most + 1);
        return length > 0 && length <= passing[i].most && strspn(*value, passing[i].allowed) == length &&
               !strstr(*value, "..");
    }
    return false;
}

/* As jailssh/config/jails.py has them. */
static bool is_refused(const char *name, size_t length)
{
    static const char *const begins[] = { "LD_",  "GLIBC_", "MALLOC_", "RESOLV_", "BASH_", "PYTHON",   "PERL",
                                          "RUBY", "NODE_",  "GIT_",    "RSYNC_",  "SSH_",  "JAILSSH_", "SHELL" },
                             *const whole[] = { "GETCONF_DIR", "HOSTALIASES", "LOCALDOMAIN",   "RES_OPTIONS", "TZDIR",
                                                "IFS",         "ENV",         "BASHOPTS",      "PS4",         "HOME",
                                                "USER",        "LOGNAME",     "PROMPT_COMMAND" };
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (strncasecmp(name, begins[i], strlen(begins[i])) == 0)
            return true;
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strlen(whole[i]) == length && strncasecmp(name, whole[i], length) == 0)
            return true;
    return length >= 4 && strncasecmp(name + length - 4, "PATH", 4) == 0;
}

bool request_accepts(const char *name, const char *entry)
{
    enum { NAME = 64, VALUE = 1024 };
    size_t length = strspn(entry, ALNUM "_"), n = strlen(name) - 1;
    if (length == 0 || length > NAME || entry[length] != '=' || is_refused(entry, length))
        return false;
    if (name[n] == '*' ? length < n || memcmp(name, entry, n) != 0
                       : length != n + 1 || memcmp(name, entry, length) != 0)
        return false;
    const char *value = entry + length + 1, *at = value;
    while (*at >= ' ' && *at <= '~')
        at++;
    return *at == '\0' && at - value <= VALUE && !strstr(value, "..");
}

/* What sshd makes with mkstemp(3) (session.c, prepare_auth_info_file), and nothing else. */
static bool is_auth_file(const char *path)
{
    static const char begins[] = "/tmp/sshauth.";
    enum { BEGINS = sizeof begins - 1, RANDOM = 15 };
    return strncmp(path, begins, BEGINS) == 0 && strspn(path + BEGINS, ALNUM) == RANDOM &&
           path[BEGINS + RANDOM] == '\0';
}

const char *request_other_name(const struct request *request, const char *name)
{
    for (size_t i = 0; i < sizeof request->user / sizeof *request->user; i++)
        if (request->user[i] && strcmp(request->user[i], name) != 0)
            return request->user[i];
    return NULL;
}

/* The way to enter a jail.  Who forges the name of the program gets what everybody has who calls it by that name. */
static bool is_to_enter(const char *called)
{
    const char *slash = strrchr(called, '/');
    return strcmp(slash ? slash + 1 : called, ENTER_NAME) == 0;
}

static bool take_entry(int argc, char **argv, struct request *out)
{
    if ((argc != 2 && (argc != 4 || strcmp(argv[2], "-c") != 0)) || !kind_is_jail(argv[1]))
        return false;
    out->jail = argv[1];
    out->command = argc == 4 ? argv[3] : NULL;
    return true;
}

bool request_take(int argc, char **argv, char **envp, struct request *out)
{
    static char *kept[ENV_KEPT + 1];
    size_t n = 0;
    const char *original = NULL;
    bool entering = argc > 0 && is_to_enter(argv[0]);
    bool by_sshd = !entering && access(VIEW_DIR, F_OK) != 0; /* a crontab says what it likes */
    out->command = out->jail = NULL;
    out->peer = out->auth_file = out->key = "";
    out->user[0] = out->user[1] = NULL;
    for (char **entry = envp; entry && *entry; entry++) {
        const char *value;
        if (!by_sshd && strncmp(*entry, "SSH_", 4) == 0)
            continue;
        if (strncmp(*entry, "SSH_ORIGINAL_COMMAND=", 21) == 0) {
            original = *entry + 21;
            continue;
        }
        if (strncmp(*entry, "SSH_USER_AUTH=", 14) == 0) /* of several the last decides */
            out->auth_file = is_auth_file(*entry + 14) ? *entry + 14 : "";
        if (strncmp(*entry, "USER=", 5) == 0)
            out->user[0] = *entry + 5;
        if (strncmp(*entry, "LOGNAME=", 8) == 0)
            out->user[1] = *entry + 8;
        if (!may_pass(*entry, &value))
            continue;
        if (strncmp(*entry, "SSH_CONNECTION=", 15) == 0)
            out->peer = value; /* also behind more variables of the client's than are kept */
        if (n < ENV_KEPT)
            kept[n++] = *entry;
    }
    kept[n] = NULL;
    out->env = kept;
    out->given = envp;
    environ = kept + n;
    if (entering)
        return take_entry(argc, argv, out);
    if (argc == 1) {
        /* Another login shell leaves this of `bash -c ForceCommand`; as a login shell our name begins with "-". */
        out->command = argv[0][0] == '-' ? NULL : original;
        return true;
    }
    if (argc != 3 || strcmp(argv[1], "-c") != 0)
        return false;
    /* sshd runs ForceCommand as `login shell -c ForceCommand`: both are this program. */
    out->command = strcmp(argv[2], LOGIN_PROGRAM) == 0 ? original : argv[2];
    return true;
}
