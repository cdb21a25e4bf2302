"""What changed below a directory that somebody else writes to, by ctime: the time of a change, which nobody can set.

Looked at by descriptor from directory to directory, following nothing and crossing no mount; bounded, since whoever
fills the directory also chooses how much there is to look at.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

from jailssh.files import beneath

DEEPEST = 100
"""Directories in one another; each costs two descriptors."""
MOST = 200_000
"""Names in all directories together."""


@dataclass
class Search:
    """How far it went: names that were looked at; ``cut``: not everything was looked at, because there is too much.

    ``end``: monotonic seconds at which it stops.
    """

    end: float
    seen: int = 0
    cut: bool = False
    shut: list[str] = field(default_factory=list)
    """Directories that cannot be read, of the owner who looks: by a mode of their own making."""

    @property
    def over(self) -> bool:
        """True once no more may be looked at."""
        self.cut = self.cut or self.seen >= MOST or time.monotonic() >= self.end
        return self.cut


def files(top: str, since: int, search: Search) -> Iterator[tuple[str, int]]:
    """Yield the regular files below ``top`` that changed from ``since`` on, each with its ctime, in nanoseconds.

    Paths are relative to ``top``.  OSError where ``top`` cannot be opened.
    """
    root = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = beneath.open_beneath(root, "")
    finally:
        os.close(root)
    yield from _below(fd, "", since, search, DEEPEST)


def _below(fd: int, path: str, since: int, search: Search, depth: int) -> Iterator[tuple[str, int]]:
    """Do it for one directory, whose descriptor is closed in the end."""
    with ExitStack() as stack:
        stack.callback(os.close, fd)
        for each in stack.enter_context(os.scandir(fd)):
            if search.over:
                return
            search.seen += 1
            try:
                info = os.stat(each.name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue  # gone meanwhile
            name = f"{path}{each.name}"
            if stat.S_ISREG(info.st_mode) and info.st_ctime_ns >= since:
                yield name, info.st_ctime_ns
            elif stat.S_ISDIR(info.st_mode):
                below = _open(fd, each.name, name, info, search, depth)
                if below is not None:
                    yield from _below(below, f"{name}/", since, search, depth - 1)


def _open(fd: int, name: str, path: str, info: os.stat_result, search: Search, depth: int) -> int | None:
    if not depth:
        search.cut = True
        return None
    try:
        return beneath.open_beneath(fd, name)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM) and info.st_uid == os.geteuid():
            search.shut.append(path)
        return None
