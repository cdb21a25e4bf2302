"""The mounts that a process sees: mountinfo of proc(5)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from jailssh.core.errors import HostError
from jailssh.core.names import escape

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One mount: its number, its parent's, the device's numbers, the directory of its file system, the mount point."""

    number: int
    parent: int
    device: str
    root: str
    point: str


def mounts_of(pid: str = "self") -> list[Mount]:
    """Return the mounts of a process in the order of mounting; :class:`OSError` where they cannot be read."""
    path = f"/proc/{pid}/mountinfo"
    found = []
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            fields = [_OCTAL.sub(lambda match: chr(int(match[1], 8)), field) for field in line.split(" ", 5)]
            if len(fields) < 5:
                raise HostError(path, f"unexpected line: {escape(line, 200)}")
            found.append(Mount(int(fields[0]), int(fields[1]), *fields[2:5]))
    return found
