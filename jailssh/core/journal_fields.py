"""The words of the journal: field names, events with their MESSAGE_ID, reason codes.

The login program (``login/``), the daemon and the manual page use the same words; a test compares them.
"""

from __future__ import annotations

from typing import Final

EVENT: Final = "JAILSSH_EVENT"
USER: Final = "JAILSSH_USER"
UID: Final = "JAILSSH_UID"
JAIL: Final = "JAILSSH_JAIL"
SESSION: Final = "JAILSSH_SESSION"
PLAN: Final = "JAILSSH_PLAN"
COMMAND: Final = "JAILSSH_COMMAND"
PLUGIN: Final = "JAILSSH_PLUGIN"
RULE: Final = "JAILSSH_RULE"
REASON: Final = "JAILSSH_REASON"
PEER: Final = "JAILSSH_PEER"
EXIT: Final = "JAILSSH_EXIT"
DURATION: Final = "JAILSSH_DURATION_USEC"
CPU: Final = "JAILSSH_CPU_USEC"
MAXRSS: Final = "JAILSSH_MAXRSS"
REFERENCE: Final = "JAILSSH_REFERENCE"
IMAGE: Final = "JAILSSH_IMAGE"
KEY: Final = "JAILSSH_KEY"
OPERATION: Final = "JAILSSH_OPERATION"
PATH: Final = "JAILSSH_PATH"
NEW_PATH: Final = "JAILSSH_NEW_PATH"
BYTES_READ: Final = "JAILSSH_BYTES_READ"
BYTES_WRITTEN: Final = "JAILSSH_BYTES_WRITTEN"
FILE: Final = "JAILSSH_FILE"
LOST: Final = "JAILSSH_LOST"

FIELDS: Final[dict[str, str]] = {
    EVENT: "what happened, one of the events",
    USER: "the account's name",
    UID: "the account's uid",
    JAIL: "the jail's name",
    SESSION: "the session's id, the same in all records of one login",
    PLAN: "the serial of the plan that was used",
    COMMAND: "what the user asked for, control characters escaped, bounded",
    PLUGIN: "the plugin whose rule matched",
    RULE: "the rule that matched",
    REASON: "why it was denied or refused, one of the reason codes",
    PEER: "the client's address and port",
    EXIT: "the command's exit status",
    DURATION: "how long it took, in microseconds",
    CPU: "CPU time, in microseconds",
    MAXRSS: "largest resident set, in KiB",
    REFERENCE: "the reference id that the user was shown",
    IMAGE: "the image's generation",
    KEY: "the name of the key that logged in, in a shared account",
    OPERATION: "what was done to a file, a word of sftp-server's log",
    PATH: "the file that it was done to, as seen in the jail",
    NEW_PATH: "the file's other name, where it was renamed or linked",
    BYTES_READ: "bytes read from the file until it was closed",
    BYTES_WRITTEN: "bytes written to the file until it was closed",
    FILE: "of several operations in one record each, numbered, as sftp-server's log has it",
    LOST: "lines of the log of file operations that the journal did not take",
}

# An event keeps its id for ever, so that catalogs and alerts stay valid.
MESSAGE_IDS: Final[dict[str, str]] = {
    "session-start": "5c1f0d9b2a6e4d6f9d3a7f1f6b0c2e41",
    "session-end": "d0b84f1e7c5a4a35b2e96d0f83c71a52",
    "file-operation": "c81d4f7a20b94e6fb3f65a9e0d27c4b1",
    "denied": "9a3e6c70f14b4c8e8f25d1b7e06a9c63",
    "refused": "2f7d95a8c3e04b61a4d8c06e5b1f9374",
    "image-built": "e816b3d24f9a4705bc53a29e7d08c185",
    "image-failed": "4b9d2c60e7134f5f9c08a1e6d35b7f28",
    "plan-failed": "3b6a1f0c97d24e58a1c47e92d05bf836",
    "plan-compiled": "73c0a5e9d81b4f2696fae4b83d2c7196",
    "plan-withdrawn": "b45f28d16ea04c93879d13c0f7e6a2a7",
    "account-gone": "6d0e9b3a51f74c28a7be30c96f1d5e84",
    "setup-changed": "08e2d7c49b5f4a1cae60f53b91d4c7b8",
}

REASONS: Final[dict[str, str]] = {
    "not-jailed": "the account is in no jail",
    "lookup": "the name service could not say whose uid it is, or did not in time",
    "bad-config": "the configuration of the jail or the account is wrong",
    "build-failed": "the jail's image could not be built",
    "build-timeout": "the jail was not ready in time; the build goes on",
    "busy": "too many logins are waiting for their jails",
    "plan-missing": "there is no plan and the daemon could not make one",
    "plan-bad": "the plan, or a directory above it, is not as it must be",
    "name": "the plan with the account's uid was made for an account of another name",
    "arguments": "the login program was called in a way that no login uses",
    "misinstalled": "the login program is not installed as it must be",
    "root": "root is never jailed",
    "setup": "a step of the login's preparation failed",
    "kernel": "the kernel refused the jail's namespaces",
    "image": "the jail's image cannot be used",
    "source": "a directory that the jail shows is missing or cannot be opened",
    "target": "the image lacks a place for something that the jail shows",
    "mount": "the kernel refused a mount of the jail",
    "mask": "what the host reads in a home (.ssh, .forward, …) could not be hidden; is the home full?",
    "within": "the command could not be held to its rule's directories",
    "pivot": "the image could not be made the root",
    "limits": "the resource limits could not be set",
    "key-unknown": "the account is shared, and the key or certificate is none of its named keys",
    "key-ambiguous": "the account is shared, and keys of several names were used for one login",
    "sessions": "the account has as many sessions as it may have",
    "sessions-of-key": "the key has as many sessions as it may have",
    "address": "the client's address is not among those that are allowed",
    "hours": "the account may not be used at this time",
    "expired": "the account's time is over",
    "duration": "the session lasted as long as it may",
    "idle": "the session was idle for as long as it may be",
    "drop": "privileges could not be given up for good",
    "seccomp": "the system call filter could not be installed",
    "terminal": "a terminal could not be made",
    "journal": "the journal cannot be reached and the configuration requires it",
    "command-not-allowed": "no rule allows this program",
    "not-interactive": "the account has no interactive login",
    "no-terminal": "a command was asked for with a terminal, and the account gets none",
    "empty-command": "the command is empty",
    "command-too-long": "the command is longer than any that is allowed",
    "too-many-words": "the command has too many words",
    "control-character": "the command has a control character",
    "shell-metacharacter": "the command has a character that only a shell understands",
    "unbalanced-quote": "the command has a quote without its partner",
    "word-missing": "a word that the rule demands is missing",
    "option-missing": "an option that the rule demands is missing",
    "option-twice": "an option twice that may be given once",
    "option-not-allowed": "an option that the rule does not allow",
    "value-missing": "an option without its value",
    "value-not-allowed": "an option's value that the rule does not allow",
    "operand-count": "too few or too many operands",
    "operand-not-allowed": "an operand that the rule does not allow",
    "path-empty": "an empty path",
    "path-dotdot": "a path with '..'",
    "path-too-long": "a path longer than any that is allowed",
    "path-outside": "a path outside the allowed directories",
    "path-leaves-root": "a path whose symbolic links leave the allowed directories",
    "path-of-other-user": "a path below another user's home (~name)",
    "pattern-not-allowed": "a file name pattern where none is expanded",
    "no-such-repository": "there is no repository of this name",
    "repository-exists": "there is something of this name already",
    "repository-name": "a path that cannot be a repository's",
    "not-served": "the account's jail does not serve this, and a rule says so",
    "first-failed": "what had to run before the command has failed",
    "no-memory": "no memory for the command",
    "service": "PAM refused the account: it is in a jail, and this service is not sshd",
    "shell": "PAM refused the account: its login shell is not the login program",
    "not-found": "the program is not in the jail",
}
