/* jailssh-deliver(8): what mail servers start in the place of a shell, as the recipient.  An account in a jail gets its
 * command run by the login program, which decides; for everybody else this is /bin/sh.
 *
 * Not set-user-ID: whoever starts it has the rights of the recipient and no others.  What is doubtful is put off, by
 * EX_TEMPFAIL of sysexits(3), on which a mail server keeps the message. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "../../pam/module.h"
#include "../login/fail.h"
#include "../login/fd.h"

#define GROUP "jailssh" /* whose members are in a jail, whatever the table says */
enum { EX_NOT_FOUND = 127, EX_CANNOT_RUN = 126 };

extern char **environ;

/* Only ever of this host's state, so that the message is tried again once that has been mended. */
static noreturn void put_off(const char *what, int error)
{
    fprintf(stderr, "jailssh: cannot deliver now: %s%s%s\n", what, error ? ": " : "", error ? strerror(error) : "");
    exit(EX_TEMPFAIL);
}

static void *memory(size_t size)
{
    void *found = malloc(size);
    if (!found)
        put_off("no memory", 0);
    return found;
}

/* What they need for an entry, whose members can be many thousand; the next larger one, or no more. */
static size_t room_after(size_t room)
{
    enum { FIRST = 1 << 14, MOST = 1 << 28 };
    if (room == MOST)
        put_off("an entry of the name service is too large", 0);
    return room ? room * 4 : FIRST;
}

/* What `jailssh setup` has written; empty on a host that is not set up. */
static void read_table(struct table *table)
{
    size_t size;
    *table = (struct table){ 0 };
    int dir = fd_walk(AT_FDCWD, TABLE_DIR, O_PATH | O_DIRECTORY, FD_ROOT_ONLY);
    char *text = dir < 0 ? NULL : fd_read_owned(dir, "pam", 0, S_IWGRP | S_IWOTH, TABLE_MAX_SIZE, &size);
    if (!text && errno == ENOENT)
        return;
    if (!text)
        put_off(TABLE_DIR "/pam cannot be read (jailssh setup mends it)", errno);
    close(dir);
    if (table_parse(text, size, table))
        put_off(TABLE_DIR "/pam is damaged (jailssh setup mends it)", 0);
}

static bool is_in(const char *name, const gid_t *groups, int count)
{
    struct group entry, *found = NULL;
    char *room = NULL;
    int error = ERANGE;
    for (size_t size = room_after(0); error == ERANGE; size = room_after(size)) {
        free(room);
        room = memory(size);
        error = getgrnam_r(name, &entry, room, size, &found);
    }
    if (!found && error)
        put_off("the groups of the account cannot be looked up", error);
    bool is_member = false;
    for (int i = 0; found && i < count; i++)
        is_member = is_member || groups[i] == entry.gr_gid;
    free(room);
    return is_member;
}

/* The groups that the account has on this host, not those that it has here: a mail server may leave them out. */
static bool has_group_with_jail(const char *name, gid_t own, uid_t uid)
{
    struct table table;
    int count = 0, most;
    read_table(&table);
    getgrouplist(name, own, NULL, &count);
    most = count += 16;
    gid_t *groups = memory(sizeof *groups * (size_t)most);
    if (getgrouplist(name, own, groups, &count) < 0)
        put_off("the groups of the account have just changed", 0);
    bool found = is_in(GROUP, groups, count);
    for (size_t i = 0; !found && uid >= table.min_uid && i < table.count; i++)
        found = table.rows[i].word == TABLE_GROUP && is_in(table.rows[i].value, groups, count);
    free(groups);
    return found;
}

/* The entry points into memory that is never given back.  An error is no answer, whichever it is: with a directory that
 * is away the C library has ENOENT or ECONNREFUSED for accounts that are there. */
static bool find_account(uid_t uid, struct passwd *entry)
{
    struct passwd *found = NULL;
    int error = ERANGE;
    for (size_t size = room_after(0); error == ERANGE; size = room_after(size))
        error = getpwuid_r(uid, entry, memory(size), size, &found);
    if (!found && error)
        put_off("the account cannot be looked up", error);
    return found;
}

/* Of a directory that is away the name service may say, without an error, that nobody has the uid: another service
 * behind it knows nothing.  System accounts are of this host's files. */
static void refuse_unknown(uid_t uid)
{
    struct table table;
    read_table(&table);
    if (table.min_uid > 0 && uid >= table.min_uid)
        put_off("nobody is known who has this uid", 0);
}

static const char *named(const char *name, const char *value)
{
    size_t size = strlen(name) + strlen(value) + 2;
    char *entry = memory(size);
    snprintf(entry, size, "%s=%s", name, value);
    return entry;
}

/* The environment of the mail server, with the account's own name in the place of what a message's address makes of
 * it, and without what sshd alone says. */
static char **own_environment(const char *name)
{
    size_t n = 0, count = 0;
    while (environ[count])
        count++;
    const char **kept = memory(sizeof *kept * (count + 3));
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, "SSH_", 4) != 0 && strncmp(*entry, "USER=", 5) != 0 && strncmp(*entry, "LOGNAME=", 8) != 0)
            kept[n++] = *entry;
    kept[n++] = named("USER", name);
    kept[n++] = named("LOGNAME", name);
    kept[n] = NULL;
    return (char **)kept;
}

/* Words as one command line, as the login program and a shell split it. */
static char *joined(char *const *words)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=@%+,-";
    size_t size = 1;
    for (char *const *word = words; *word; word++)
        size += 4 * strlen(*word) + 3;
    char *line = memory(size), *to = line;
    for (char *const *word = words; *word; word++) {
        bool quoted = !**word || (*word)[strspn(*word, plain)];
        if (word != words)
            *to++ = ' ';
        if (quoted)
            *to++ = '\'';
        for (const char *at = *word; *at; at++)
            if (*at == '\'')
                to = stpcpy(to, "'\\''");
            else
                *to++ = *at;
        if (quoted)
            *to++ = '\'';
    }
    *to = '\0';
    return line;
}

static noreturn void run_inside(const char *name, char *command)
{
    char *argv[] = { (char[]){ MAIL_NAME }, (char[]){ "-c" }, command, NULL };
    execve(LOGIN_PROGRAM, argv, own_environment(name));
    if (errno == EACCES)
        put_off("the mail server may not start " LOGIN_PROGRAM
                " (mail_inside = yes in jailssh.conf, then jailssh setup)",
                0);
    put_off(LOGIN_PROGRAM, errno);
}

/* The shell finds a program that is given without a path. */
static void run_found(char *const *words, size_t count)
{
    char **argv = memory(sizeof *argv * (count + 4));
    argv[0] = (char[]){ "sh" };
    argv[1] = (char[]){ "-c" };
    argv[2] = (char[]){ "exec \"$0\" \"$@\"" };
    for (size_t i = 0; i <= count; i++)
        argv[i + 3] = words[i];
    execv("/bin/sh", argv);
}

static noreturn void run_outside(char **words, size_t count, bool is_shell)
{
    char *shell[] = { (char[]){ "sh" }, (char[]){ "-c" }, words[0], NULL };
    const char *program = !is_shell && strchr(words[0], '/') ? words[0] : "/bin/sh";
    if (is_shell)
        execv(program, shell);
    else if (program == words[0])
        execv(program, words);
    else
        run_found(words, count);
    int error = errno;
    fprintf(stderr, "%s: %s\n", program, strerror(error));
    if (error == EAGAIN || error == ENOMEM || error == ENFILE || error == EMFILE || error == EIO)
        exit(EX_TEMPFAIL);
    exit(error == ENOENT ? EX_NOT_FOUND : EX_CANNOT_RUN);
}

int main(int argc, char **argv)
{
    uid_t uid = getuid();
    bool is_shell = argc == 3 && strcmp(argv[1], "-c") == 0;
    if (!is_shell && (argc < 3 || strcmp(argv[1], "--") != 0))
        put_off("wrong arguments; usage: deliver -c COMMAND, or deliver -- PROGRAM [ARGUMENT...]", 0);
    if (uid != geteuid() || getgid() != getegid())
        put_off("started with the rights of two accounts", 0);
    struct passwd entry;
    bool is_known = find_account(uid, &entry);
    if (!is_known)
        refuse_unknown(uid);
    if (is_known && uid != 0 &&
        (strcmp(entry.pw_shell, LOGIN_PROGRAM) == 0 || has_group_with_jail(entry.pw_name, entry.pw_gid, uid)))
        run_inside(entry.pw_name, is_shell ? argv[2] : joined(argv + 2));
    run_outside(argv + 2, (size_t)argc - 2, is_shell);
}
