"""Ids of a system: a range of the host's that nobody else has, recorded with the system."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from jailssh.core.errors import HostError
from jailssh.files import fs
from jailssh.host.paths import Layout

SIZE = 65536
# Above what useradd(8) grants to accounts (SUB_UID_MAX of login.defs(5)), up to what systemd leaves to containers.
FIRST, LAST = 0x23D30000, 0x6FFF0000
FILE = "ids"
_LINE = re.compile(r"[^:]*:([0-9]{1,10}):([0-9]{1,10})\s*\Z")
_LIMIT = 1 << 22


def take(layout: Layout, folder: str) -> int:
    """Record a free range in the directory of a new system; return its first id.  The caller has the lock."""
    used = [*_recorded(layout), *_granted(), *_of_accounts()]
    for base in range(FIRST, LAST + 1, SIZE):
        if not any(first < base + SIZE and base < first + count for first, count in used):
            fs.atomic_write(f"{folder}/{FILE}", f"{base}\n".encode(), 0o600)
            return base
    raise HostError("ids for a system", "there are none left")


def read(folder: str) -> int:
    """Return the first id of the system in a directory; :class:`HostError` where that is not recorded."""
    text = fs.read_trusted(f"{folder}/{FILE}", 64).decode("ascii", "replace").strip()
    if not text.isdecimal() or len(text) > 10 or int(text) % SIZE or not FIRST <= int(text) <= LAST:
        raise HostError(f"file {folder}/{FILE}", "is no first id of a range")
    return int(text)


def _recorded(layout: Layout) -> Iterator[tuple[int, int]]:
    for name in os.listdir(layout.systems):
        if os.path.lexists(f"{layout.systems}/{name}/{FILE}"):
            yield read(f"{layout.systems}/{name}"), SIZE


def _granted() -> Iterator[tuple[int, int]]:
    for path in ("/etc/subuid", "/etc/subgid"):
        for line in _lines(path):
            if match := _LINE.match(line):
                yield int(match[1]), int(match[2])


def _of_accounts() -> Iterator[tuple[int, int]]:
    for path in ("/etc/passwd", "/etc/group"):
        for line in _lines(path):
            fields = line.split(":")
            for field in fields[2:4]:
                if field.isdecimal():
                    yield int(field), 1


def _lines(path: str) -> list[str]:
    if not os.path.exists(path):
        return []
    return fs.read_trusted(path, _LIMIT).decode("utf-8", "surrogateescape").splitlines()
