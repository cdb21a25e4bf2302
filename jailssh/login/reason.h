/* Why a login or a command is denied or refused, and why a session was ended: the one list. */
#ifndef JAILSSH_REASON_H
#define JAILSSH_REASON_H

/* What the user is told: a reference for the administrator, the same for a command that cannot run; what the account is
 * for (the plan's message); besides, what of the command did not fit, or which directories would have; the detail,
 * which is a sentence; that a repository is not there, whether it is or not; or nothing more. */
enum audience {
    TELL_REFERENCE,
    TELL_COMMAND,
    TELL_PURPOSE,
    TELL_DETAIL,
    TELL_OUTSIDE,
    TELL_SENTENCE,
    TELL_NO_REPOSITORY,
    TELL_NOTHING
};

/* X(identifier, code in the journal, audience, priority of the record (syslog(3))).  The codes are stable and explained
 * in jailssh/core/journal_fields.py; where what the user is told differs, one code has several identifiers. */
#define REASONS(X)                                                                                                     \
    X(ROOT, "root", TELL_REFERENCE, 4)                                                                                 \
    X(MISINSTALLED, "misinstalled", TELL_REFERENCE, 4)                                                                 \
    X(ARGUMENTS, "arguments", TELL_REFERENCE, 4)                                                                       \
    X(PLAN_MISSING, "plan-missing", TELL_REFERENCE, 4)                                                                 \
    X(PLAN_BAD, "plan-bad", TELL_REFERENCE, 4)                                                                         \
    X(NAME, "name", TELL_REFERENCE, 4)                                                                                 \
    X(KEY_UNKNOWN, "key-unknown", TELL_REFERENCE, 4)                                                                   \
    X(KEY_AMBIGUOUS, "key-ambiguous", TELL_REFERENCE, 4)                                                               \
    X(JOURNAL, "journal", TELL_REFERENCE, 4)                                                                           \
    X(RECORDING, "recording", TELL_REFERENCE, 4)                                                                       \
    X(SETUP, "setup", TELL_REFERENCE, 4)                                                                               \
    X(KERNEL, "kernel", TELL_REFERENCE, 4)                                                                             \
    X(IMAGE, "image", TELL_REFERENCE, 4)                                                                               \
    X(SOURCE, "source", TELL_REFERENCE, 4)                                                                             \
    X(TARGET, "target", TELL_REFERENCE, 4)                                                                             \
    X(MOUNT, "mount", TELL_REFERENCE, 4)                                                                               \
    X(MASK, "mask", TELL_REFERENCE, 4)                                                                                 \
    X(PIVOT, "pivot", TELL_REFERENCE, 4)                                                                               \
    X(DROP, "drop", TELL_REFERENCE, 4)                                                                                 \
    X(SECCOMP, "seccomp", TELL_REFERENCE, 4)                                                                           \
    X(LIMITS, "limits", TELL_REFERENCE, 4)                                                                             \
    X(WITHIN, "within", TELL_REFERENCE, 4)                                                                             \
    X(TERMINAL, "terminal", TELL_REFERENCE, 4)                                                                         \
    X(FIRST_FAILED, "first-failed", TELL_REFERENCE, 4)                                                                 \
    X(NOT_FOUND, "not-found", TELL_COMMAND, 4)                                                                         \
    X(NOT_LISTED, "not-listed", TELL_SENTENCE, 5)                                                                      \
    X(MAINTENANCE, "maintenance", TELL_SENTENCE, 6)                                                                    \
    X(SESSIONS, "sessions", TELL_SENTENCE, 5)                                                                          \
    X(SESSIONS_OF_KEY, "sessions-of-key", TELL_SENTENCE, 5)                                                            \
    X(ADDRESS, "address", TELL_SENTENCE, 5)                                                                            \
    X(HOURS, "hours", TELL_SENTENCE, 5)                                                                                \
    X(EXPIRED, "expired", TELL_SENTENCE, 5)                                                                            \
    X(NO_TERMINAL, "no-terminal", TELL_SENTENCE, 5)                                                                    \
    X(NOT_SERVED, "not-served", TELL_SENTENCE, 5)                                                                      \
    X(NOT_INTERACTIVE, "not-interactive", TELL_PURPOSE, 5)                                                             \
    X(COMMAND_NOT_ALLOWED, "command-not-allowed", TELL_PURPOSE, 5)                                                     \
    X(EMPTY_COMMAND, "empty-command", TELL_PURPOSE, 5)                                                                 \
    X(COMMAND_TOO_LONG, "command-too-long", TELL_PURPOSE, 5)                                                           \
    X(TOO_MANY_WORDS, "too-many-words", TELL_PURPOSE, 5)                                                               \
    X(CONTROL_CHARACTER, "control-character", TELL_DETAIL, 5)                                                          \
    X(SHELL_METACHARACTER, "shell-metacharacter", TELL_DETAIL, 5)                                                      \
    X(UNBALANCED_QUOTE, "unbalanced-quote", TELL_PURPOSE, 5)                                                           \
    X(WORD_MISSING, "word-missing", TELL_PURPOSE, 5)                                                                   \
    X(OPTION_MISSING, "option-missing", TELL_DETAIL, 5)                                                                \
    X(OPTION_TWICE, "option-twice", TELL_DETAIL, 5)                                                                    \
    X(OPTION_NOT_ALLOWED, "option-not-allowed", TELL_DETAIL, 5)                                                        \
    X(VALUE_MISSING, "value-missing", TELL_DETAIL, 5)                                                                  \
    X(VALUE_NOT_ALLOWED, "value-not-allowed", TELL_DETAIL, 5)                                                          \
    X(OPERAND_COUNT, "operand-count", TELL_DETAIL, 5)                                                                  \
    X(OPERAND_NOT_ALLOWED, "operand-not-allowed", TELL_DETAIL, 5)                                                      \
    X(PATTERN_NOT_ALLOWED, "pattern-not-allowed", TELL_DETAIL, 5)                                                      \
    X(PATH_EMPTY, "path-empty", TELL_DETAIL, 5)                                                                        \
    X(PATH_DOTDOT, "path-dotdot", TELL_DETAIL, 5)                                                                      \
    X(PATH_TOO_LONG, "path-too-long", TELL_DETAIL, 5)                                                                  \
    X(PATH_OUTSIDE, "path-outside", TELL_OUTSIDE, 5)                                                                   \
    X(PATH_LEAVES_ROOT, "path-leaves-root", TELL_OUTSIDE, 5)                                                           \
    X(PATH_OF_OTHER_USER, "path-of-other-user", TELL_DETAIL, 5)                                                        \
    X(NO_MEMORY, "no-memory", TELL_PURPOSE, 5)                                                                         \
    X(NO_REPOSITORY, "no-such-repository", TELL_NO_REPOSITORY, 5)                                                      \
    X(REPOSITORY_EXISTS, "repository-exists", TELL_NO_REPOSITORY, 5)                                                   \
    X(REPOSITORY_NAME, "repository-name", TELL_NO_REPOSITORY, 5)                                                       \
    X(REPOSITORY_OUTSIDE, "path-outside", TELL_NO_REPOSITORY, 5)                                                       \
    X(REPOSITORY_LEAVES_ROOT, "path-leaves-root", TELL_NO_REPOSITORY, 5)                                               \
    X(REPOSITORY_NO_MEMORY, "no-memory", TELL_NO_REPOSITORY, 5)                                                        \
    X(DURATION, "duration", TELL_NOTHING, 6)                                                                           \
    X(IDLE, "idle", TELL_NOTHING, 6)

enum reason {
    R_NONE, /* so that it can be asked whether there is one */
#define X(identifier, code, audience, priority) R_##identifier,
    REASONS(X)
#undef X
        REASON_COUNT
};

/* The code of a reason, "" of none. */
const char *reason_code(enum reason reason);

enum audience reason_audience(enum reason reason);
int reason_priority(enum reason reason);

/* The reason whose number TEXT is, as a message has it; R_SETUP where it is none. */
enum reason reason_of(const char *text);

#endif
