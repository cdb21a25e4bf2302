"""The words of the journal: field names, events with their MESSAGE_ID, reason codes.

The login program (``login/``), the daemon and the manual page use the same words; a test compares them.
"""

from __future__ import annotations

from typing import Final

from jailssh.core.closed import Word

EVENT: Final = "JAILSSH_EVENT"
HOSTNAME: Final = "_HOSTNAME"
"""The host that wrote the record, by its own journald."""
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
ENTERED: Final = "JAILSSH_ENTERED"
OPERATION: Final = "JAILSSH_OPERATION"
PATH: Final = "JAILSSH_PATH"
NEW_PATH: Final = "JAILSSH_NEW_PATH"
BYTES_READ: Final = "JAILSSH_BYTES_READ"
BYTES_WRITTEN: Final = "JAILSSH_BYTES_WRITTEN"
FILE: Final = "JAILSSH_FILE"
LOST: Final = "JAILSSH_LOST"
RECORDING: Final = "JAILSSH_RECORDING"
FACILITY: Final = "JAILSSH_FACILITY"
DROPPED: Final = "JAILSSH_DROPPED"
SHA256: Final = "JAILSSH_SHA256"
SIZE: Final = "JAILSSH_SIZE"
UNHASHED: Final = "JAILSSH_UNHASHED"
FOUND: Final = "JAILSSH_FOUND"
CHANGE: Final = "JAILSSH_CHANGE"
FINGERPRINT: Final = "JAILSSH_FINGERPRINT"
PUBLIC_KEY: Final = "JAILSSH_PUBLIC_KEY"

FIELDS: Final[dict[str, str]] = {
    EVENT: "name of the event",
    USER: "the account's name",
    UID: "the account's uid",
    JAIL: "the jail's name",
    SESSION: "the session's id, the same in all records of one login",
    PLAN: "the serial of the plan used",
    COMMAND: "the requested command, control characters escaped, cut off if long",
    PLUGIN: "the plugin whose rule matched",
    RULE: "the rule that matched",
    REASON: "the reason code of a denial or refusal",
    PEER: "the client's address and port",
    EXIT: "the command's exit status",
    DURATION: "duration, in microseconds",
    CPU: "CPU time, in microseconds",
    MAXRSS: "largest resident set, in KiB",
    REFERENCE: "the reference id shown to the user",
    IMAGE: "the image's generation",
    KEY: "the name of the key that logged in, in a shared account",
    ENTERED: "the jail that an account asked to enter by jailssh enter; missing where it logged in",
    OPERATION: "the file operation, a word of sftp-server's log",
    PATH: "the file of the operation, as seen in the jail",
    NEW_PATH: "the new name of a file that was renamed or linked",
    BYTES_READ: "bytes read from the file until it was closed",
    BYTES_WRITTEN: "bytes written to the file until it was closed",
    FILE: "each of several operations in one record, numbered, as in sftp-server's log",
    RECORDING: "the file that the session is recorded in",
    LOST: "number of file operations that are missing in the journal",
    FACILITY: "the facility of syslog that a relayed message asked for, where it got another one",
    DROPPED: "number of messages from a jail that were not relayed",
    SHA256: "the SHA-256 of a file that was written, as it was when it was read, after the close",
    SIZE: "the size of that file, in bytes, at the same time",
    UNHASHED: "why a file that was written has no SHA-256, see jailssh-transfers(8)",
    FOUND: "ctime where a file counts as written because it changed since the session began; else missing",
    CHANGE: "what an account has changed about itself: key-added, key-removed, password-changed, password-set (a first "
    "one), or refused",
    FINGERPRINT: "the fingerprint of that key",
    PUBLIC_KEY: "that key, as it is given to jailssh adduser --key",
}


PORTS: Final = "(ports)"
"""What stands in the place of a command where sshd forwards ports and starts nothing (pam_jailssh(8))."""


class Event(Word):
    """What a record tells of."""

    SESSION_START = "session-start"
    SESSION_END = "session-end"
    FILE_OPERATION = "file-operation"
    DENIED = "denied"
    REFUSED = "refused"
    IMAGE_BUILT = "image-built"
    IMAGE_FAILED = "image-failed"
    PLAN_FAILED = "plan-failed"
    PLAN_COMPILED = "plan-compiled"
    PLAN_WITHDRAWN = "plan-withdrawn"
    ACCOUNT_GONE = "account-gone"
    SETUP_CHANGED = "setup-changed"
    AUDIT = "audit"
    FINDING = "finding"
    MESSAGE = "message"
    MESSAGES_LOST = "messages-lost"
    TRANSFER = "transfer"
    SELF_SERVICE = "self-service"


RELAYED: Final = (Event.MESSAGE, Event.MESSAGES_LOST)
"""What the relay alone tells of."""


# An event keeps its id for ever, so that catalogs and alerts stay valid.
MESSAGE_IDS: Final[dict[Event, str]] = {
    Event.SESSION_START: "5c1f0d9b2a6e4d6f9d3a7f1f6b0c2e41",
    Event.SESSION_END: "d0b84f1e7c5a4a35b2e96d0f83c71a52",
    Event.FILE_OPERATION: "c81d4f7a20b94e6fb3f65a9e0d27c4b1",
    Event.DENIED: "9a3e6c70f14b4c8e8f25d1b7e06a9c63",
    Event.REFUSED: "2f7d95a8c3e04b61a4d8c06e5b1f9374",
    Event.IMAGE_BUILT: "e816b3d24f9a4705bc53a29e7d08c185",
    Event.IMAGE_FAILED: "4b9d2c60e7134f5f9c08a1e6d35b7f28",
    Event.PLAN_FAILED: "3b6a1f0c97d24e58a1c47e92d05bf836",
    Event.PLAN_COMPILED: "73c0a5e9d81b4f2696fae4b83d2c7196",
    Event.PLAN_WITHDRAWN: "b45f28d16ea04c93879d13c0f7e6a2a7",
    Event.ACCOUNT_GONE: "6d0e9b3a51f74c28a7be30c96f1d5e84",
    Event.SETUP_CHANGED: "08e2d7c49b5f4a1cae60f53b91d4c7b8",
    Event.AUDIT: "f1a7c3d05e9b4826b8d4e20c7f6a9135",
    Event.FINDING: "5e2b8f94c6d14a07a3f8c1d97b60e2f4",
    Event.MESSAGE: "a3d94c5e18f74b06b2c7e5d1f09a6b83",
    Event.MESSAGES_LOST: "1b7e60f2d94a4c5eb8a35c7f20d6e914",
    Event.TRANSFER: "c2f08d6a3b5e4917a4d1e97c60b8f35a",
    Event.SELF_SERVICE: "f491fca1567c304c86a5c6c39518c3cd",
}

REASONS: Final[dict[str, str]] = {
    "not-jailed": "the account is not in a jail",
    "lookup": "the name service cannot look up the uid, or did not answer in time",
    "bad-config": "the configuration of the jail or the account is not valid",
    "build-failed": "the jail's image cannot be built",
    "build-timeout": "the jail was not ready in time; the build continues",
    "busy": "too many logins are waiting for their jails",
    "plan-missing": "the plan does not exist, and the daemon cannot make one",
    "plan-bad": "the plan, or a directory above it, is damaged or has a wrong owner or mode",
    "name": "the plan of this uid was made for an account with another name",
    "arguments": "the login program got unexpected arguments for a login",
    "misinstalled": "the login program is not installed correctly",
    "root": "root is never jailed",
    "setup": "a step of the login's preparation failed",
    "kernel": "the kernel refused the jail's namespaces",
    "image": "the jail's image cannot be used",
    "source": "a directory that the jail shows is missing or cannot be opened",
    "target": "the image lacks a mount point for something that the jail shows",
    "mount": "the kernel refused a mount of the jail",
    "mask": "files that the host reads in a home (.ssh, .forward, …) cannot be hidden; is the home full?",
    "within": "the command cannot be confined to the directories of its rule",
    "pivot": "the image cannot become the root directory",
    "limits": "the resource limits cannot be set",
    "key-unknown": "the account is shared, and the key or certificate is not one of its named keys",
    "key-ambiguous": "the account is shared, and keys of several names were used for one login",
    "not-listed": "the account is not in enter of the jail, or has left the group by which it was",
    "maintenance": "the administrator allows no new logins at the moment",
    "sessions": "the session limit of the account is reached",
    "sessions-of-key": "the session limit of the key is reached",
    "address": "the client's address is not allowed",
    "hours": "the account does not allow logins at this time",
    "expired": "the account is expired",
    "duration": "the time limit of the session is reached",
    "idle": "the idle limit of the session is reached",
    "drop": "privileges cannot be dropped permanently",
    "seccomp": "the system call filter cannot be installed",
    "terminal": "a terminal cannot be created",
    "journal": "the journal cannot be reached and the configuration requires it",
    "recording": "the session cannot be recorded, and the jail requires it",
    "command-not-allowed": "no rule allows this program",
    "not-interactive": "the account has no interactive login",
    "no-terminal": "a terminal was requested for a command, and the account does not allow one",
    "empty-command": "the command is empty",
    "command-too-long": "the command is too long",
    "too-many-words": "the command has too many words",
    "control-character": "the command contains a control character",
    "shell-metacharacter": "the command contains a character that has a meaning only in a shell",
    "unbalanced-quote": "the command contains an unbalanced quote",
    "word-missing": "a word that the rule requires is missing",
    "option-missing": "an option that the rule requires is missing",
    "option-twice": "an option is repeated that is allowed only once",
    "option-not-allowed": "an option is not allowed by the rule",
    "value-missing": "the value of an option is missing",
    "value-not-allowed": "the value of an option is not allowed by the rule",
    "operand-count": "too few or too many operands",
    "operand-not-allowed": "an operand is not allowed by the rule",
    "path-empty": "a path is empty",
    "path-dotdot": "a path contains '..'",
    "path-too-long": "a path is too long",
    "path-outside": "a path is outside the allowed directories",
    "path-leaves-root": "the symbolic links of a path leave the allowed directories",
    "path-of-other-user": "a path is below another user's home (~name)",
    "pattern-not-allowed": "a file name pattern is not allowed here",
    "no-such-repository": "the repository does not exist",
    "repository-exists": "a file with the name of the repository already exists",
    "repository-name": "the path is not valid for a repository",
    "not-served": "a rule of the account's jail denies this command by name",
    "first-failed": "the pre-command failed",
    "no-memory": "out of memory for the command",
    "service": "PAM refused the account: it is in a jail, and this service is not sshd",
    "locked": "PAM refused the account: it is locked (jailssh lock)",
    "pam-table": "PAM refused the account: the table of its module is missing or damaged",
    "pam-session": "PAM refused the session: its commands cannot be led into the jail",
    "shell": "PAM refused the account: its login shell is not the login program",
    "not-found": "the program is not in the jail",
}
