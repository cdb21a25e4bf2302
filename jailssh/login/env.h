/* What the user asked for, and what came with it.  Before the privilege drop these are pointers that nobody reads. */
#ifndef JAILSSH_ENV_H
#define JAILSSH_ENV_H

#include <stdbool.h>

struct request {
    const char *command;   /* from: user.  NULL for an interactive login. */
    const char *jail;      /* from: user, checked.  The jail to enter instead of logging in, or NULL */
    const char *peer;      /* from: sshd (SSH_CONNECTION), checked character by character, or "" */
    const char *auth_file; /* from: sshd (SSH_USER_AUTH, ExposeAuthInfo in sshd_config(5)), checked, or "" */
    const char *user[2];   /* from: sshd (USER, LOGNAME), unread; request_other_name compares them */
    const char *key;       /* the name of the key that logged in to a shared account, or "" */
    char **env;            /* from: user.  NAME=value pairs that passed a name and value check */
    char **given;          /* from: user.  All that came, unread */
    char session[17];      /* the id of this login, ours */
};

/* Take the request from the arguments and the environment without judging it, keep the few variables that may pass,
 * and empty the process's environment.  Returns false for arguments that no way into an account produces.  By the name
 * ENTER_NAME an account asks to enter a jail: JAIL, or JAIL -c COMMAND.  What sshd sets is then anybody's words. */
bool request_take(int argc, char **argv, char **envp, struct request *out);

/* The name of the login's account that is not NAME, or NULL where none is told or it is the same.  It can be used to
 * refuse, never to grant: sshd sets both variables after those of the client, but others may start this program too. */
const char *request_other_name(const struct request *request, const char *name);

/* True if ENTRY, NAME=value, may pass where the jail accepts NAME: a variable's name, or a beginning of names with a *
 * behind it.  Names that steer the loader, an interpreter or what a program runs never do, nor those that are ours. */
bool request_accepts(const char *name, const char *entry);

#endif
