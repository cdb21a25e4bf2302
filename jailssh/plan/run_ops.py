"""The plan of ``jailssh-run``: verbs that a login's never has, beside some that it shares with one.

The Python half of the contract; ``login/run_ops.h`` is the C half, and ``tests/golden/test_run_ops.py`` holds them
equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass

from jailssh.core.errors import ConfigError, UsageError
from jailssh.plan import ops, words
from jailssh.plan.ops import Record, Verb

MAGIC = "jailssh-run"
_SIZE = "int:1:9223372036854775807"

VERBS: tuple[Verb, ...] = (
    Verb("tree", ("path", "enum:ro,rw"), 30, True, "root is {0}, {1:mode}"),
    Verb("file-system", ("name",), 30, True, "which is an image file: {0}, mounted read-only"),
    Verb("listen", ("uint",), 23, True, "gets {0} sockets of who has started it"),
    Verb("notify", ("text",), 23, True, "how it is, is told to {0}"),
    Verb("background", (), 24, True, "outlives who has started it"),
    Verb("pid-file", ("path",), 25, True, "pid in {0}"),
    Verb("daemon", ("enum:no,yes",), 26, True, "a daemon, whose own pid the file has; nobody waits for it: {0}"),
    Verb("control-group", ("path",), 26, False, "in the control group {0}, which goes with it"),
    Verb("log-file", ("path",), 26, True, "its console is written to {0}"),
    Verb("new-users", (), 27, True, "user namespace of its own"),
    Verb("uid-map", ("uint", "uint", "uint"), 28, False, "uids from {0} on are {1} and up on the host, {2} of them"),
    Verb("gid-map", ("uint", "uint", "uint"), 29, False, "gids from {0} on are {1} and up on the host, {2} of them"),
    Verb("join", ("uint", "uint"), 30, True, "in the namespaces of the process {0}, started at {1}"),
    Verb("layer", ("path",), 31, False, "below it lies {0}"),
    Verb("written", ("path",), 32, True, "what is written stays in {0}"),
    Verb("ephemeral", (_SIZE,), 33, True, "what is written is gone at the end, {0:size} at most"),
    Verb("new-fs", ("name", "path", "text", "text", "text", "enum:must,optional,make"), 36, False,
         "{0} at {1} ({2}), options: {3}"),
    Verb("clone", ("path", "path", "enum:no,yes", "text", "text", "enum:must,optional,make"), 36, False,
         "{0} of the host at {1} ({3}), with what is mounted below: {2}"),
    Verb("keep-cap", ("name", "uint"), 48, False, "WEAKER: keeps the capability {0}"),
    Verb("privileged", (), 49, True, "WEAKER: keeps all capabilities, has no filter, a whole /proc"),
    Verb("init", (), 63, True, "a whole system, whose init the command is"),
    Verb("hold", (), 64, True, "nothing is run: the namespaces are kept"),
    Verb("argument", ("text",), 65, False, "argument {0}"),
)  # fmt: skip
SHARED = (
    "jail", "home", "net", "hostname", "pty", "dev", "proc", "group", "rlimit", "umask", "nice", "env", "seccomp",
)  # fmt: skip
BY_NAME = {verb.name: verb for verb in (*VERBS, *(ops.BY_NAME[name] for name in SHARED))}


@dataclass(frozen=True)
class RunPlan:
    """What ``jailssh-run`` does; ``uid`` and ``gid`` are the command's in its user namespace."""

    _: KW_ONLY
    uid: int
    gid: int
    name: str
    records: tuple[Record, ...]

    def show(self) -> list[str]:
        """Return the plan for people: one line a record."""
        lines = [f"command of {self.name} (uid {self.uid}, gid {self.gid})"]
        for record in self.records:
            line = BY_NAME[record.verb].describe
            lines.append(line.format(*map(words.Shown, record.args)) if isinstance(line, str) else line(*record.args))
        return lines

    def encode(self) -> bytes:
        """Return the bytes; raises :class:`UsageError` for what the program would not take."""
        for record in self.records:
            try:
                ops.check_fields(BY_NAME[record.verb], record)
            except ConfigError as error:
                raise UsageError(record.verb, error.why) from error
        tokens = [MAGIC, ops.VERSION, str(self.uid), str(self.gid), self.name, "0" * 16, str(len(self.records))]
        for record in self.records:
            tokens += [record.verb, *record.args]
        data = b"".join(token.encode("utf-8", "surrogateescape") + b"\0" for token in (*tokens, ops.END))
        if len(data) > ops.MAX_SIZE or len(self.records) > ops.MAX_RECORDS:
            raise UsageError("run", "too much to take at once", hint=f"at most {ops.MAX_SIZE} bytes of arguments")
        return data


def in_order(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return the records as a plan has them, by phase; those of one phase stay as they are."""
    return tuple(sorted(records, key=lambda record: BY_NAME[record.verb].phase))
