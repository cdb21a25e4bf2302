"""The plan's verbs.

One row per verb, the Python half of the contract; ``login/plan_ops.h`` is the C half and
``tests/golden/test_ops.py`` holds them equal.  A record is a verb and exactly ``len(fields)`` arguments.  Records
stand in non-decreasing phase; the verbs of a rule (phase 70 and up) start again with each ``rule``, and are those of
:mod:`jailssh.policy.rule_fields`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

from jailssh.core.errors import ConfigError
from jailssh.core.names import is_clean_absolute
from jailssh.plan import words
from jailssh.policy.rule_fields import RULE_FIELDS
from jailssh.policy.value_class import bounds, choices, parse_class

MAGIC = "jailssh-plan"
VERSION = "1"
END = "end"
MAX_SIZE = 1 << 20
MAX_RECORDS = 20000
MAX_TOKEN = 65536
MAX_GROUPS = 256
RULE_PHASE = RULE_FIELDS[0].phase
_SHORT = 256
_SIZE = "int:1:9223372036854775807"
_MINUTE = "int:0:1440"
_SPAN = "int:1:31622400"
"""Seconds of a session: a year at most."""


@dataclass(frozen=True)
class Verb:
    """A row: the verb, the kinds of its arguments, its phase, if it may stand once only, and what it does.

    ``describe`` is a format for arguments of :class:`jailssh.plan.words.Shown`, or makes the line from them.
    """

    name: str
    fields: tuple[str, ...]
    phase: int
    once: bool
    describe: str | Callable[..., str]


def _local_time(since: str, ahead: str) -> str:
    return words.local_time([(int(since), int(ahead))])


VERBS: tuple[Verb, ...] = (
    Verb("jail", ("name",), 10, True, "jail {0}"),
    Verb("home", ("path",), 11, True, "working directory {0}"),
    Verb("message", ("text",), 12, True, "message for a denied user: {0}"),
    Verb("journal", ("enum:allow,require",), 13, True, "login without journald: {0}"),
    Verb("key", ("name", "name", "base64"), 14, False, "key {0} has the plan {1}: {2}"),
    Verb("authority", ("name", "name", "text", "base64"), 15, False,
         "key {0} has the plan {1}: certificate for {2} by {3}"),
    Verb("member", ("int:1:2147483647",), 16, False, "only for sessions in group {0}"),
    Verb("outsider", ("int:1:2147483647",), 17, False, "not for sessions in group {0}"),
    Verb("net", ("enum:none,host,loopback,account",), 20, True, "network: {0}"),
    Verb("hostname", ("name",), 21, True, "host name {0}"),
    Verb("pty", ("enum:no,yes",), 22, True, "own terminal: {0}"),
    Verb("sessions", ("int:1:999999",), 23, True, "at most {0:count} of the account at a time"),
    Verb("key-sessions", ("int:1:999999",), 24, True, "at most {0:count} of one key at a time"),
    Verb("linger", (), 25, True, "what is in the background outlives a login"),
    Verb("relay", (_SIZE, _SIZE, _SPAN), 26, True, "logs: {0:size} in {2:span}, at once {1:size}"),
    Verb("forward", ("name",), 27, True, "no session; sshd forwards ports for members of group {0}"),
    Verb("image", ("path",), 30, True, "root is {0}, read-only"),
    Verb("tmpfs", ("path", _SIZE, "octal", "enum:ro,rw", "enum:exec,noexec"), 31, False,
         "private tmpfs at {0}, {1:size}, mode {2}, {3:mode}, {4:mode}"),
    Verb("dir", ("path",), 32, False, "directory {0}"),
    Verb("file", ("path", "text"), 33, False, "generated file {0}"),
    Verb("proc-file", ("name", "text"), 33, False, "/proc/{0} of the jail's own"),
    Verb("dev", (), 34, True, "minimal /dev"),
    Verb("proc", (), 35, True, "/proc with this jail's processes only"),
    Verb("bind",
         ("path", "path", "enum:ro,rw", "enum:exec,noexec", "enum:user,root", "enum:must,optional,make"), 36, False,
         "{0} of the host at {1}, {2:mode}, {3:mode}, opened as {4}, {5:mode}"),
    Verb("mask", ("path",), 37, False, "{0} hidden and not writable"),
    Verb("mask-file", ("path",), 38, False, "{0} hidden and not writable"),
    Verb("group", ("int:1:2147483647",), 40, False, "supplementary group {0}"),
    Verb("rlimit", ("enum:as,core,cpu,data,fsize,memlock,nofile,nproc,stack", "uint"), 41, False, words.limit),
    Verb("umask", ("octal",), 42, True, "umask {0}"),
    Verb("nice", ("int:0:19",), 43, True, "nice value {0}"),
    Verb("bandwidth", (_SIZE,), 44, True, "{0:size} per second in each direction"),
    Verb("duration", (_SPAN,), 45, True, "ends after {0:span}"),
    Verb("idle", (_SPAN,), 46, True, "ends after {0:span} without traffic"),
    Verb("record", ("path", _SIZE, "enum:no,yes"), 47, True,
         "terminals recorded in {0}, {1:size} a session at most; with what is typed: {2}"),
    Verb("env", ("env", "text"), 50, False, "environment {0}={1}"),
    Verb("accept-env", ("accepted",), 51, False, "accepts {0} from the client's environment"),
    Verb("seccomp", ("name", "hex"), 60, True, "system call filter for {0}"),
    Verb("address", ("address",), 61, False, "logins from {0}"),
    Verb("hours", ("int:1:127", _MINUTE, _MINUTE), 62, False, "logins {0:days} {1:clock}-{2:clock}, local time"),
    Verb("utc-offset", ("uint", "int:-86400:86400"), 63, False, _local_time),
    Verb("expires", ("uint",), 64, True, "no logins from {0:moment} on"),
    *(Verb(row.verb, row.kinds, row.phase, row.once, row.describe) for row in RULE_FIELDS),
)  # fmt: skip

BY_NAME = {verb.name: verb for verb in VERBS}
REQUIRED = ("jail", "home", "message", "net", "pty", "image", "seccomp", "rule")
ROSTER = ("key", "authority")
"""A plan with one of these only says which key has which plan."""
REQUIRED_OF_ROSTER = ("jail", "message")

# Compiled as they are used: a command that makes a plan of its own uses few.
_INT = r"-?(0|[1-9][0-9]{0,17})"
_KINDS = {
    "name": r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}",
    "uint": r"(0|[1-9][0-9]{0,17})",
    "octal": r"[0-7]{1,4}",
    "env": r"[A-Za-z_][A-Za-z0-9_]{0,63}",
    "accepted": r"[A-Za-z_][A-Za-z0-9_]{0,63}\*?",
    "hex": r"([0-9a-f]{16}){1,4096}",
    "letter": r"[A-Za-z0-9@]",
    "letters": r"[A-Za-z0-9@]{1,64}",
    "base64": r"[A-Za-z0-9+/=]{16,16384}",
    "address": r"[0-9a-f:./]{3,64}",
}


@dataclass(frozen=True)
class Record:
    """One record of a plan."""

    verb: str
    args: tuple[str, ...] = ()

    def describe(self) -> str:
        """Return one line for people: what the login program does for this record."""
        line = BY_NAME[self.verb].describe
        return line.format(*map(words.Shown, self.args)) if isinstance(line, str) else line(*self.args)


def check_records(records: Iterable[Record]) -> None:
    """Raise :class:`ConfigError` unless verb, number and kinds of arguments of each are right."""
    # Plans of thousands of accounts are mostly the same records.  Those of rules are the same objects, found by their
    # place in memory, which is theirs as long as they are kept here.
    for record in [each for each in records if _right.get(id(each)) is not each]:
        _check_record(record)


def _check_record(record: Record) -> None:
    if sum(map(len, record.args)) > _SHORT:  # A filter, or a generated file.
        _check_any(record)
        return
    _check_short(record)
    if len(_right) >= _MANY:
        _right.clear()
    _right[id(record)] = record


_MANY = 1 << 12
_right: dict[int, Record] = {}


@lru_cache(maxsize=_MANY)
def _check_short(record: Record) -> None:
    _check_any(record)


def _check_any(record: Record) -> None:
    verb = BY_NAME.get(record.verb)
    if verb is None:
        raise ConfigError("plan", f"unknown verb {record.verb!r}")
    check_fields(verb, record)


def check_fields(verb: Verb, record: Record) -> None:
    """Raise :class:`ConfigError` unless number and kinds of arguments are those of ``verb``."""
    if len(record.args) != len(verb.fields):
        raise ConfigError("plan", f"{record.verb} takes {len(verb.fields)} arguments, not {len(record.args)}")
    for kind, value in zip(verb.fields, record.args, strict=True):
        if not _fits(kind, value):
            raise ConfigError("plan", f"{record.verb}: {value!r} is not of kind {kind}")


def _fits(kind: str, value: str) -> bool:
    # Plans of one account repeat most of what is in them; a long value is a filter or a generated file.
    return _fits_short(kind, value) if len(value) <= _SHORT else _fits_any(kind, value)


@lru_cache(maxsize=1 << 13)
def _fits_short(kind: str, value: str) -> bool:
    return _fits_any(kind, value)


def _fits_any(kind: str, value: str) -> bool:
    size = len(value.encode("utf-8", "surrogateescape"))
    if "\0" in value or size > MAX_TOKEN:
        return False
    if kind == "text":
        return True
    if kind == "path":
        return is_clean_absolute(value) and size < 4096
    if kind == "class":
        return _is_class(value)
    if words_of_kind := choices(kind):
        return value in words_of_kind
    if span := bounds(kind):
        low, high = span
        return bool(re.fullmatch(_INT, value)) and (low < 0 or value[0] != "-") and low <= int(value) <= high
    return bool(re.fullmatch(_KINDS[kind], value))


def _is_class(value: str) -> bool:
    try:
        parse_class(value)
    except ValueError:
        return False
    return True
