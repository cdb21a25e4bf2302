"""The ways that :func:`jailssh.files.fs.open_dir` has walked, for a run that goes the same few thousands of times.

What is kept is the directory itself, by a descriptor: it was trusted, and so was all on the way to it.  It is given
again as long as its path leads to it, which is one look instead of one at each component; with another owner or mode
of its own the way is walked anew.  Somebody who may have come to write above it meanwhile can have the path lead to
something else, which is walked to as well, and not to what was kept.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_HERE = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_MOST = 24

Way = tuple[str, "str | None", bool]
"""A path, and what else was asked of the way to it."""


class _Ways:
    """Of one process: a copy of it may have closed these descriptors and have others by their numbers."""

    def __init__(self, tops: tuple[str, ...]) -> None:
        self._tops = frozenset(tops)
        self.below = tuple(f"{top}/" for top in tops)
        self._kept: dict[Way, tuple[int, tuple[int, ...]]] = {}
        self.process = os.getpid()

    def again(self, way: Way) -> int | None:
        kept = self._kept.get(way)
        if kept is None:
            return None
        with suppress(OSError):
            if _what(os.stat(way[0])) == kept[1]:
                # One of its own: copies of a descriptor share the place where it is read.
                return os.open(".", _HERE, dir_fd=kept[0])
        os.close(self._kept.pop(way)[0])
        return None

    def keep(self, way: Way, fd: int) -> None:
        if way[0] not in self._tops and not way[0].startswith(self.below):
            return
        if len(self._kept) >= _MOST:
            os.close(self._kept.pop(next(iter(self._kept)))[0])
        self._kept[way] = os.dup(fd), _what(os.fstat(fd))

    def close(self) -> None:
        while self._kept:
            os.close(self._kept.popitem()[1][0])


def _what(info: os.stat_result) -> tuple[int, ...]:
    return info.st_dev, info.st_ino, info.st_mode, info.st_uid


_ways: _Ways | None = None


@contextmanager
def once(*tops: str) -> Iterator[None]:
    """Keep ways to the directories ``tops`` and below them while the block runs, for this process.

    Until then they are busy, so that what they are on cannot be unmounted.
    """
    global _ways
    before = _ways
    mine = _ways = _Ways(tops)
    try:
        yield
    finally:
        _ways = before
        if mine.process == os.getpid():
            mine.close()


def _mine() -> _Ways | None:
    return _ways if _ways and _ways.process == os.getpid() else None


def again(way: Way) -> int | None:
    """Return a descriptor of the directory that a way led to, None where it is to be walked."""
    return ways.again(way) if (ways := _mine()) else None


def is_below(path: str) -> bool:
    """True if the way to the directory above is kept, too."""
    return path.startswith(ways.below) if (ways := _mine()) else False


def keep(way: Way, fd: int) -> None:
    """Keep where a way has led: ``fd``, which stays the caller's."""
    if ways := _mine():
        ways.keep(way, fd)
