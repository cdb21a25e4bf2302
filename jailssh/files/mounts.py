"""The mounts that a process sees: mountinfo of proc(5)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from jailssh.core.errors import HostError
from jailssh.core.names import escape, is_below

_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One mount: its number, its parent's, the device's numbers, the directory of its file system, the mount point.

    ``kind`` of its file system, and ``source``: what it was mounted from.  ``fixed``: nobody can write to the file
    system, by whatever mount of it.
    """

    number: int
    parent: int
    device: str
    root: str
    point: str
    kind: str = ""
    source: str = ""
    fixed: bool = False


def mounts_of(pid: str = "self") -> list[Mount]:
    """Return the mounts of a process in the order of mounting; :class:`OSError` where they cannot be read."""
    path = f"/proc/{pid}/mountinfo"
    found = []
    # The kernel leaves a carriage return in a path as it is, and users can mount (FUSE) where they like.
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
        for line in stream:
            fields = [_OCTAL.sub(lambda match: chr(int(match[1], 8)), field) for field in line.split(" ", 5)]
            if len(fields) < 5:
                raise HostError(path, f"unexpected line: {escape(line, 200)}")
            # Behind the options and a number of optional fields, which end with a hyphen.
            last = fields[5].partition(" - ")[2].rstrip("\n").split(" ") if len(fields) > 5 else []
            kind, source, options = (*last, "", "", "")[:3]
            place = {"device": fields[2], "root": fields[3], "point": fields[4], "kind": kind, "source": source}
            found.append(Mount(int(fields[0]), int(fields[1]), **place, fixed="ro" in options.split(",")))
    return found


def mount_above(path: str, mounts: Iterable[Mount]) -> Mount | None:
    """Return the mount that ``path`` is on, by its text alone: the last one of those at the longest mount point."""
    above = [each for each in mounts if is_below(path, each.point)]
    longest = max((len(each.point) for each in above), default=0)
    return next((each for each in reversed(above) if len(each.point) == longest), None)


def mounts_below(path: str, mounts: Iterable[Mount]) -> list[Mount]:
    """Return the mounts below the directory ``path``, by their text alone: the last one at each mount point."""
    return [*{each.point: each for each in mounts if each.point != path and is_below(each.point, path)}.values()]
