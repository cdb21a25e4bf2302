"""SHA-256 of files that accounts wrote, read with each account's own rights and nothing more.

The account can change everything meanwhile: what it wrote may be gone, another file, a FIFO, a link out of its home, or
a file of a terabyte that takes no room.  So each is reached below a directory of the jail by descriptor, following
nothing and crossing no mount, must be a regular file before it is read, and all reading is bounded.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jailssh.core.closed import Word
from jailssh.core.errors import HostError
from jailssh.files import beneath
from jailssh.files.changed import Search, files
from jailssh.host.accounts import AccountEntry
from jailssh.host.as_each import ask_each

LARGEST = 16 << 30
"""Bytes of a file that is still read."""
SECONDS = 60.0
"""Reading for one account in one run, altogether: one that always has more must not keep the others waiting."""
MOST = 5000
"""Files of one account that are looked at in one go."""
_PATIENCE = 5.0
# Of what as_each takes as an answer: for names, and for what else there is of each.
_ANSWER = 700_000
_ROW = 150
_MOST_SHUT = 50
_PIECE = 1 << 20
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

Place = tuple[str, str]
"""A directory of the host that the jail shows, and a path below it."""


class Unhashed(Word):
    """Why there is no SHA-256."""

    CUT = "name-cut"
    ELSEWHERE = "not-kept"
    GONE = "gone"
    LINK = "link"
    KIND = "no-file"
    DENIED = "unreadable"
    CHANGED = "changed"
    LARGE = "too-large"
    MUCH = "too-much"
    SILENT = "no-answer"
    HIDDEN = "not-searched"


@dataclass(frozen=True, kw_only=True)
class Digest:
    """What a file was when it was read: which of its names was there, its size; without ``sha256``: ``why``."""

    name: int = 0
    size: int | None = None
    sha256: str = ""
    why: Unhashed | None = None


def of_each(
    asked: Mapping[int, Sequence[Sequence[Place]]],
    entries: Sequence[AccountEntry],
    spent: dict[int, float],
    seconds: float = SECONDS,
) -> dict[int, list[Digest]]:
    """Return, by uid, the digest of each of its files in ``asked``, of which each has one place for each of its names.

    The first of these that is there is read.  ``spent``: what each account has taken of its ``seconds``, which grows.
    """

    def question(entry: AccountEntry) -> bytes:
        end = time.monotonic() + seconds - spent.get(entry.uid, 0.0)
        return json.dumps([_first(places, end) for places in asked[entry.uid]]).encode()

    found: dict[int, list[Digest]] = {}
    begun = time.monotonic()
    for entry, answer in ask_each(entries, question, seconds + _PATIENCE):
        begun, before = time.monotonic(), begun
        spent[entry.uid] = spent.get(entry.uid, 0.0) + begun - before
        count = len(asked[entry.uid])
        found[entry.uid] = [Digest(why=Unhashed.SILENT)] * count if isinstance(answer, HostError) else _judged(answer)
    return found


@dataclass(frozen=True, kw_only=True)
class Changed:
    """A file that changed: which of the directories it is below, its path there, when, in seconds; what it was.

    Without ``changed``: a directory, or with an empty path all of them, that could not be looked through.
    """

    top: int
    path: str
    changed: float | None
    digest: Digest


def of_changed(
    asked: Mapping[int, tuple[Sequence[str], float]],
    entries: Sequence[AccountEntry],
    spent: dict[int, float],
    seconds: float = SECONDS,
) -> dict[int, list[Changed]]:
    """Return, by uid, the files that changed below its directories from a time on (seconds since 1970).

    ``spent``: as for :func:`of_each`.
    """

    def question(entry: AccountEntry) -> bytes:
        tops, since = asked[entry.uid]
        now, left = time.monotonic(), seconds - spent.get(entry.uid, 0.0)
        # What is there counts for more than what is in it.
        found, cut = _search(tops, since, now + left / 2)
        return json.dumps([[*row, *_look(tops[row[0]], row[1], now + left)] for row in found] + cut).encode()

    answers: dict[int, list[Changed]] = {}
    begun = time.monotonic()
    for entry, answer in ask_each(entries, question, seconds + _PATIENCE):
        begun, before = time.monotonic(), begun
        spent[entry.uid] = spent.get(entry.uid, 0.0) + begun - before
        silent = json.dumps([[0, "", None, None, "", Unhashed.SILENT]])
        rows = json.loads(silent if isinstance(answer, HostError) else answer)
        answers[entry.uid] = [
            Changed(top=top, path=path, changed=changed,
                    digest=Digest(size=size, sha256=sha256, why=Unhashed(why) if why else None))
            for top, path, changed, size, sha256, why in rows
        ]  # fmt: skip
    return answers


def _search(
    tops: Sequence[str], since: float, end: float
) -> tuple[list[tuple[int, str, float]], list[tuple[int, str, None, None, str, str]]]:
    """Return top, path and time of the files, and a row for each place that was not looked at."""
    found: list[tuple[int, str, float]] = []
    missed: list[tuple[int, str, None, None, str, str]] = []
    search, room = Search(end), _ANSWER
    for number, top in enumerate(tops):
        try:
            for path, changed in files(top, int(since * 1e9), search):
                room -= len(json.dumps(path)) + _ROW
                if room < 0 or len(found) >= MOST:
                    search.cut = True
                    break
                found.append((number, path, changed / 1e9))
        except OSError as error:
            if _reason(error) != Unhashed.GONE:
                missed.append((number, "", None, None, "", Unhashed.DENIED))
        missed += [(number, path, None, None, "", Unhashed.DENIED) for path in search.shut[:_MOST_SHUT]]
        search.shut.clear()
    return found, missed + ([(0, "", None, None, "", Unhashed.HIDDEN)] if search.cut else [])


def _judged(answer: bytes) -> list[Digest]:
    return [
        Digest(name=name, size=size, sha256=sha256, why=Unhashed(why) if why else None)
        for name, size, sha256, why in json.loads(answer)
    ]


def _first(places: Sequence[Place], end: float) -> tuple[int, int | None, str, str]:
    why: tuple[int, int | None, str, str] = (0, None, "", Unhashed.GONE)
    for number, (top, path) in enumerate(places):
        size, sha256, reason = _look(top, path, end)
        why = (number, size, sha256, reason)
        if reason != Unhashed.GONE:
            break
    return why


def _look(top: str, path: str, end: float) -> tuple[int | None, str, str]:
    """Return size, SHA-256 and "", or why there is none; called with the account's rights."""
    if not top:
        return None, "", Unhashed.ELSEWHERE
    if time.monotonic() >= end:
        return None, "", Unhashed.MUCH
    try:
        fd = _open(top, path)
    except OSError as error:
        return None, "", _reason(error)
    try:
        return _read(fd, end)
    except OSError:
        return None, "", Unhashed.DENIED
    finally:
        os.close(fd)


def _open(top: str, path: str) -> int:
    folder, _, name = path.rpartition("/")
    if "\0" in path:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if ".." in path.split("/"):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    root = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        above = beneath.open_beneath(root, folder)
    finally:
        os.close(root)
    try:
        # What a FIFO or a device does when it is opened is not for us to find out.
        if not stat.S_ISREG(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return os.open(name, _FLAGS, dir_fd=above)
    finally:
        os.close(above)


def _reason(error: OSError) -> Unhashed:
    if error.errno in (errno.ENOENT, errno.ENAMETOOLONG):
        return Unhashed.GONE
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV):
        return Unhashed.LINK
    if error.errno in (errno.EISDIR, errno.ENXIO, errno.ENODEV):
        return Unhashed.KIND
    return Unhashed.DENIED


def _read(fd: int, end: float) -> tuple[int | None, str, str]:
    before = os.fstat(fd)
    if not stat.S_ISREG(before.st_mode):
        return None, "", Unhashed.KIND
    if before.st_size > LARGEST:
        return before.st_size, "", Unhashed.LARGE
    found, have = hashlib.sha256(), 0
    while part := os.read(fd, _PIECE):
        found.update(part)
        have += len(part)
        if have > before.st_size:
            return None, "", Unhashed.CHANGED
        if time.monotonic() >= end:
            return before.st_size, "", Unhashed.MUCH
    after = os.fstat(fd)
    if have != before.st_size or _mark(before) != _mark(after):
        return None, "", Unhashed.CHANGED
    return have, found.hexdigest(), ""


def _mark(info: os.stat_result) -> tuple[int, int, int]:
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns
