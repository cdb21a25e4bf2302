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
}

# Made once with systemd-id128 new; a record keeps its id for ever, so that catalogs and alerts stay valid.
MESSAGE_IDS: Final[dict[str, str]] = {
    "session-start": "0e8a1907f73c452692eddac8f403d093",
    "session-end": "90fca4d5e34d4c44a3e1841a166d16fb",
    "denied": "97df6cc0bb594a8a97837a13808060f8",
    "refused": "a60cf6cdf2d0445f93beb7572ea97595",
    "image-built": "0db2f68b1b2144d0b33f8d6324bff9d4",
    "plan-compiled": "aea7b8e24a2248099d1058956e489c84",
    "plan-withdrawn": "0c9f745fe0784c9e91a86bb1bb3ae793",
    "setup-changed": "9367c1ad3fde440fb934554675143dbc",
}

REASONS: Final[dict[str, str]] = {
    "not-jailed": "the account is in no jail",
    "bad-config": "the configuration of the jail or the account is wrong",
    "build-failed": "the jail's image could not be built",
    "build-timeout": "the jail was not ready in time; the build goes on",
    "busy": "too many logins are waiting for their jails",
    "plan-missing": "there is no plan and the daemon could not make one",
    "plan-bad": "the plan, or a directory above it, is not as it must be",
    "not-installed": "the login program is not installed as it must be",
    "kernel": "the kernel refused a step of the jail's set-up",
    "mount": "a directory of the jail could not be shown",
    "home": "the home directory is missing or cannot be opened",
    "drop": "privileges could not be given up for good",
    "journal": "the journal cannot be reached and the configuration requires it",
    "command-not-allowed": "no rule allows this program",
    "not-interactive": "the account has no interactive login",
    "empty-command": "the command is empty",
    "command-too-long": "the command is longer than any that is allowed",
    "too-many-words": "the command has too many words",
    "control-character": "the command has a control character",
    "shell-metacharacter": "the command has a character that only a shell understands",
    "unbalanced-quote": "the command has a quote without its partner",
    "word-missing": "a word that the rule demands is missing",
    "option-missing": "an option that the rule demands is missing",
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
    "no-memory": "no memory for the command",
    "not-found": "the program is not in the jail",
}
