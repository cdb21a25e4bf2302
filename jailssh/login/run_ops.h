/* The verbs that a plan of jailssh-run has beside those of a login that it takes (plan.c), as plan_ops.h has them.
 *
 * jailssh/plan/run_ops.py is the other half; a test holds them equal.  None of them is a login's. */
#ifndef JAILSSH_RUN_OPS_H
#define JAILSSH_RUN_OPS_H

#define RUN_OPS(OP)                                                                                                    \
    OP(TREE, "tree", "pw", 30, 1)                                                                                      \
    OP(FILE_SYSTEM, "file-system", "n", 30, 1)                                                                         \
    OP(LISTEN, "listen", "u", 23, 1)                                                                                   \
    OP(NOTIFY, "notify", "t", 23, 1)                                                                                   \
    OP(BACKGROUND, "background", "", 24, 1)                                                                            \
    OP(PID_FILE, "pid-file", "p", 25, 1)                                                                               \
    OP(DAEMON, "daemon", "y", 26, 1)                                                                                   \
    OP(CONTROL_GROUP, "control-group", "p", 26, 0)                                                                     \
    OP(LOG_FILE, "log-file", "p", 26, 1)                                                                               \
    OP(NEW_USERS, "new-users", "", 27, 1)                                                                              \
    OP(UID_MAP, "uid-map", "uuu", 28, 0)                                                                               \
    OP(GID_MAP, "gid-map", "uuu", 29, 0)                                                                               \
    OP(JOIN, "join", "uu", 30, 1)                                                                                      \
    OP(LAYER, "layer", "p", 31, 0)                                                                                     \
    OP(WRITTEN, "written", "p", 32, 1)                                                                                 \
    OP(EPHEMERAL, "ephemeral", "z", 33, 1)                                                                             \
    OP(NEW_FS, "new-fs", "nptttm", 36, 0)                                                                              \
    OP(CLONE, "clone", "ppyttm", 36, 0)                                                                                \
    OP(KEEP_CAP, "keep-cap", "nu", 48, 0)                                                                              \
    OP(PRIVILEGED, "privileged", "", 49, 1)                                                                            \
    OP(INIT, "init", "", 63, 1)                                                                                        \
    OP(HOLD, "hold", "", 64, 1)                                                                                        \
    OP(ARGUMENT, "argument", "t", 65, 0)

#define RUN_MAGIC "jailssh-run"

#endif
