"""A file in the form of fstab(5), for the mounts of a tree.  Pure, but for looking where a link among sources leads.

A field has its blanks as ``\\040``.  A target is below the tree whether it begins with a slash or not.  Every word is
known or an error, with file and line: nothing is handed to the kernel that nobody has read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

from jailssh.core.closed import Word
from jailssh.core.errors import ConfigError
from jailssh.core.names import is_clean_absolute, pluralize
from jailssh.plan.ops import Record

MOST = 1000
"""Lines with a mount."""
_LONGEST = 4095
"""Bytes of a path (PATH_MAX)."""
_ESCAPED = re.compile(r"\\([0-7]{3})")
_PROPAGATION = frozenset(("private", "slave", "shared", "unbindable"))
_KEPT = frozenset(("ro", "noexec", "noatime", "nodiratime", "strictatime"))
# What holds anyway, or is of interest to others than mount(2).
_SILENT = frozenset(
    ("defaults", "rw", "exec", "nosuid", "nodev", "relatime", "atime", "diratime", "async", "auto", "noauto", "user",
     "nouser", "users", "owner", "_netdev")
)  # fmt: skip
_WEAKER = frozenset(("suid", "dev"))
_OF_HOST = ("/", "/dev", "/proc", "/sys")
_DATA = re.compile(
    r"(size|nr_inodes|nr_blocks|mode|uid|gid|huge|hidepid|subset|ptmxmode|max|newinstance)(=[A-Za-z0-9%]+)?\Z"
)


class Kind(Word):
    """What a line mounts."""

    BIND = "bind"
    TMPFS = "tmpfs"
    PROC = "proc"
    SYSFS = "sysfs"
    DEVPTS = "devpts"
    MQUEUE = "mqueue"


@dataclass(frozen=True)
class Line:
    """A mount: what, where, with which words, and where that stands."""

    _: KW_ONLY
    source: str
    target: str
    kind: str
    options: tuple[str, ...]
    where: str


def parse(text: str, name: str) -> list[Record]:
    """Return the records of a file called ``name``; :class:`ConfigError` about the first line that is wrong."""
    return [record_of(line) for line in _lines(text, name)]


def _lines(text: str, name: str) -> Iterator[Line]:
    number = 0
    for at, raw in enumerate(text.split("\n"), 1):
        fields = raw.split()
        if not fields or fields[0].startswith("#"):
            continue
        where = f"{name}:{at}"
        if len(fields) < 2 or len(fields) > 6:
            raise ConfigError(
                where, f"{pluralize(len(fields), 'field')}, not 2 to 6: source, target, type, options, 0, 0"
            )
        if any(not field.isdecimal() for field in fields[4:]):
            raise ConfigError(where, "fields 5 and 6 are numbers")
        number += 1
        if number > MOST:
            raise ConfigError(where, f"more than {MOST} mounts")
        source, target, kind, options = map(_unescaped, (fields + ["none", "defaults"][len(fields) - 2 :])[:4])
        yield Line(source=source, target=target, kind=kind, options=tuple(options.split(",")), where=where)


def _unescaped(field: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8) & 0x7F), field)


def record_of(line: Line) -> Record:
    """Return what a plan has of a line; :class:`ConfigError`."""
    target = "/" + line.target.strip("/")
    if not is_clean_absolute(target) or target == "/":
        raise ConfigError(line.where, f"target {line.target!r} is no plain path below the tree",
                          hint="use no '..', '//', '.' or control bytes")  # fmt: skip
    if max(len(os.fsencode(target)), len(os.fsencode(line.source))) > _LONGEST:
        raise ConfigError(line.where, f"a path is longer than {_LONGEST} bytes")
    flags: list[str] = []
    data: list[str] = []
    missing, bind, deep = "must", False, False
    for word in line.options:
        if word in ("bind", "rbind"):
            bind, deep = True, word == "rbind"
        elif word in ("nofail", "mkdir", "x-mount.mkdir"):
            missing = "optional" if word == "nofail" else "make"
        elif word.lstrip("r") in _PROPAGATION or word in _PROPAGATION:
            flags.append(word if word in _PROPAGATION else word.removeprefix("r"))
        elif word in _WEAKER:
            raise ConfigError(line.where, f"option {word!r} is weaker than a tree may be; it stays no{word}")
        elif word in _KEPT:
            flags.append(word)
        elif word in _SILENT or word.startswith(("x-", "X-", "comment=")):
            flags = [flag for flag in flags if (word, flag) not in (("rw", "ro"), ("exec", "noexec"))]
        elif _DATA.match(word):
            data.append(word)
        else:
            raise ConfigError(line.where, f"unknown option {word!r}")
    if bind:
        if data:
            raise ConfigError(line.where, f"option {data[0]!r} is none of a bind")
        return Record("clone", (_source(line), target, "yes" if deep else "no", ",".join(flags), line.where, missing))
    kind = line.kind
    if kind == Kind.BIND or kind not in frozenset(Kind):
        raise ConfigError(line.where, f"type {kind!r} without bind is none of: {', '.join(sorted(Kind))}"[:200])
    if kind == Kind.SYSFS and "ro" not in flags:
        flags.append("ro")  # root can write in it without any capability
    if kind == Kind.DEVPTS:
        data = [word for word in data if word != "newinstance"]  # each is, since Linux 4.7
    return Record("new-fs", (kind, target, ",".join(flags), ",".join(data), line.where, missing))


def _source(line: Line) -> str:
    source = os.path.realpath(line.source)
    if source in _OF_HOST or source.startswith(("/proc/", "/sys/", "/dev/")):
        raise ConfigError(line.where, f"{line.source} of the host is not shown in a tree",
                          hint="the tree has a /dev and a /proc of its own")  # fmt: skip
    if not is_clean_absolute(source):
        raise ConfigError(line.where, f"source {line.source!r} is no plain path")
    return source
