/* The plan's verbs: the C half of the contract.  jailssh/plan/ops.py is the other half; a test holds them equal.
 *
 * OP(identifier, verb, kinds of the arguments, phase, once).  One letter a kind, checked by plan.c:
 * n name, p path, u unsigned, o octal, e environment name, t text, h seccomp program in hex, l letter, L letters,
 * c value class, b base64, a address or network, E environment name that may end in *; numbers with a range: g group,
 * k nice value, s sessions, d seconds of a session, z size, D days, M minute of a day, S seconds from UTC, O operands;
 * and the enumerations A 0|126, j allow|require, y no|yes, N
 * none|host|loopback|account, w ro|rw, x exec|noexec, U user|root, m must|optional|make, r a resource limit's name. */
#ifndef JAILSSH_PLAN_OPS_H
#define JAILSSH_PLAN_OPS_H

#define PLAN_OPS(OP)                                                                                                   \
    OP(JAIL, "jail", "n", 10, 1)                                                                                       \
    OP(HOME, "home", "p", 11, 1)                                                                                       \
    OP(MESSAGE, "message", "t", 12, 1)                                                                                 \
    OP(JOURNAL, "journal", "j", 13, 1)                                                                                 \
    OP(KEY, "key", "nnb", 14, 0)                                                                                       \
    OP(AUTHORITY, "authority", "nntb", 15, 0)                                                                          \
    OP(MEMBER, "member", "g", 16, 0)                                                                                   \
    OP(OUTSIDER, "outsider", "g", 17, 0)                                                                               \
    OP(NET, "net", "N", 20, 1)                                                                                         \
    OP(HOSTNAME, "hostname", "n", 21, 1)                                                                               \
    OP(PTY, "pty", "y", 22, 1)                                                                                         \
    OP(SESSIONS, "sessions", "s", 23, 1)                                                                               \
    OP(KEY_SESSIONS, "key-sessions", "s", 24, 1)                                                                       \
    OP(LINGER, "linger", "", 25, 1)                                                                                    \
    OP(RELAY, "relay", "zzd", 26, 1)                                                                                   \
    OP(FORWARD, "forward", "n", 27, 1)                                                                                 \
    OP(IMAGE, "image", "p", 30, 1)                                                                                     \
    OP(TMPFS, "tmpfs", "pzowx", 31, 0)                                                                                 \
    OP(DIR, "dir", "p", 32, 0)                                                                                         \
    OP(FILE, "file", "pt", 33, 0)                                                                                      \
    OP(PROC_FILE, "proc-file", "nt", 33, 0)                                                                            \
    OP(DEV, "dev", "", 34, 1)                                                                                          \
    OP(PROC, "proc", "", 35, 1)                                                                                        \
    OP(BIND, "bind", "ppwxUm", 36, 0)                                                                                  \
    OP(MASK, "mask", "p", 37, 0)                                                                                       \
    OP(MASK_FILE, "mask-file", "p", 38, 0)                                                                             \
    OP(GROUP, "group", "g", 40, 0)                                                                                     \
    OP(RLIMIT, "rlimit", "ru", 41, 0)                                                                                  \
    OP(UMASK, "umask", "o", 42, 1)                                                                                     \
    OP(NICE, "nice", "k", 43, 1)                                                                                       \
    OP(BANDWIDTH, "bandwidth", "z", 44, 1)                                                                             \
    OP(DURATION, "duration", "d", 45, 1)                                                                               \
    OP(IDLE, "idle", "d", 46, 1)                                                                                       \
    OP(RECORD, "record", "pzy", 47, 1)                                                                                 \
    OP(ENV, "env", "et", 50, 0)                                                                                        \
    OP(ACCEPT_ENV, "accept-env", "E", 51, 0)                                                                           \
    OP(SECCOMP, "seccomp", "nh", 60, 1)                                                                                \
    OP(ADDRESS, "address", "a", 61, 0)                                                                                 \
    OP(HOURS, "hours", "DMM", 62, 0)                                                                                   \
    OP(UTC_OFFSET, "utc-offset", "uS", 63, 0)                                                                          \
    OP(EXPIRES, "expires", "u", 64, 1)                                                                                 \
    OP(RULE, "rule", "nnp", 70, 0)                                                                                     \
    OP(INTERACTIVE, "interactive", "", 71, 1)                                                                          \
    OP(WORD, "word", "t", 72, 0)                                                                                       \
    OP(ARGV0, "argv0", "t", 73, 1)                                                                                     \
    OP(FIXED, "fixed", "t", 74, 0)                                                                                     \
    OP(LITERAL, "literal", "t", 75, 0)                                                                                 \
    OP(IGNORE_REST, "ignore-rest", "", 76, 1)                                                                          \
    OP(LETTERS, "letters", "L", 77, 1)                                                                                 \
    OP(NEED, "need", "L", 78, 1)                                                                                       \
    OP(NEED_LONG, "need-long", "n", 79, 0)                                                                             \
    OP(ONCE, "once", "n", 80, 0)                                                                                       \
    OP(TAIL, "tail", "lc", 81, 1)                                                                                      \
    OP(SHORT, "short", "lc", 82, 0)                                                                                    \
    OP(LONG, "long", "nc", 83, 0)                                                                                      \
    OP(INSERT, "insert", "t", 84, 0)                                                                                   \
    OP(MARK, "mark", "t", 85, 1)                                                                                       \
    OP(DASHDASH, "dashdash", "", 86, 1)                                                                                \
    OP(OPERAND, "operand", "c", 87, 0)                                                                                 \
    OP(OPERANDS, "operands", "OOc", 88, 1)                                                                             \
    OP(BASE, "base", "p", 89, 1)                                                                                       \
    OP(BELOW, "below", "p", 90, 0)                                                                                     \
    OP(LIKE, "like", "p", 91, 0)                                                                                       \
    OP(GLOB, "glob", "", 92, 1)                                                                                        \
    OP(RULE_ENV, "rule-env", "et", 93, 0)                                                                              \
    OP(FIRST, "first", "t", 94, 0)                                                                                     \
    OP(LOG, "log", "", 95, 1)                                                                                          \
    OP(ANSWER, "answer", "At", 96, 1)                                                                                  \
    OP(ALONE, "alone", "", 97, 1)                                                                                      \
    OP(KEEP, "keep", "", 98, 1)                                                                                        \
    OP(WITHIN, "within", "pw", 99, 0)

#define PLAN_MAGIC "jailssh-plan"
#define PLAN_VERSION "1"
#define PLAN_MAX_SIZE (1u << 20)
#define PLAN_MAX_RECORDS 20000u
#define PLAN_MAX_TOKEN 65536u
#define PLAN_MAX_GROUPS 256u
#define PLAN_RULE_PHASE 70

#endif
