"""The host's package database (dpkg), read without running anything: whose a file is, and if packages change now."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterable

INFO = "/var/lib/dpkg/info"
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
