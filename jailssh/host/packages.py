"""The host's package database (dpkg), read without running anything: whose a file is, versions, if packages change."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import time
from collections.abc import Iterable
from itertools import zip_longest

INFO = "/var/lib/dpkg/info"
STATUS = "/var/lib/dpkg/status"
# Held by apt and its like for as long as they work, and by dpkg itself.
LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")
# struct flock of fcntl(2): type, whence, start, length, process id.
_FLOCK = struct.Struct("hhqqi4x")


def owners(paths: Iterable[str]) -> dict[str, str]:
    """Return the package of each path that a package brought; on a host with a merged /usr by either name."""
    wanted: dict[bytes, set[str]] = {}
    for path in paths:
        for name in {path, path.removeprefix("/usr")}:
            wanted.setdefault(os.fsencode(name), set()).add(path)
    found: dict[str, str] = {}
    try:
        names = sorted(name for name in os.listdir(INFO) if name.endswith(".list"))
    except FileNotFoundError:
        return {}
    for name in names:
        with open(f"{INFO}/{name}", "rb") as file:
            for line in wanted.keys() & set(file.read().splitlines()):
                for path in wanted[line]:
                    found.setdefault(path, name.removesuffix(".list").partition(":")[0])
    return found


def changing(locks: Iterable[str] = LOCKS) -> bool:
    """True while another process holds a lock of the package database (F_GETLK in fcntl(2))."""
    for path in locks:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))[0]
        finally:
            os.close(fd)
        if kind != fcntl.F_UNLCK:
            return True
    return False


def settle(seconds: float, locks: Iterable[str] = LOCKS) -> bool:
    """Wait until the packages do not change, at most for ``seconds``; False if they still do."""
    end = time.monotonic() + seconds
    while changing(locks):
        if time.monotonic() >= end:
            return False
        time.sleep(min(1.0, max(0.01, end - time.monotonic())))
    return True


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of these packages that are installed; empty where there is no dpkg."""
    wanted = set(names)
    found: dict[str, str] = {}
    try:
        with open(STATUS, encoding="utf-8", errors="replace") as stream:
            stanzas = stream.read().split("\n\n")
    except FileNotFoundError:
        return {}
    for stanza in stanzas:
        head, _, rest = stanza.lstrip("\n").partition("\n")
        name = head.removeprefix("Package: ")
        if name in wanted:
            fields = dict(line.partition(": ")[::2] for line in rest.split("\n") if not line.startswith(" "))
            if fields.get("Status", "").endswith(" installed"):
                found[name] = fields.get("Version", "")
    return found


def compare(one: str, other: str) -> int:
    """Return how two versions are ordered, below zero where ``one`` is the older (deb-version(7))."""
    first, second = _parts(one), _parts(other)
    return next((sign for mine, its in zip(first, second, strict=True) if (sign := _order(mine, its))), 0)


def _parts(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return epoch, upstream, revision


def _order(one: str, other: str) -> int:
    """Compare by turns what is no digit, where ``~`` is before the end and letters before the rest, and numbers."""
    rows = zip_longest(*(re.findall(r"([^0-9]*)([0-9]*)", text) for text in (one, other)), fillvalue=("", ""))
    for (mine, number), (its, its_number) in rows:
        if mine != its:
            return -1 if [*map(_weight, mine), 0] < [*map(_weight, its), 0] else 1
        if int(number or 0) != int(its_number or 0):
            return int(number or 0) - int(its_number or 0)
    return 0


def _weight(letter: str) -> int:
    return -1 if letter == "~" else ord(letter) if letter.isalpha() else ord(letter) + 256
