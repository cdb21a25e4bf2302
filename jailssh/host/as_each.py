"""Looks into the homes of many accounts with each one's own rights, in one process that takes on one after the other.

A process for each account costs milliseconds, and a thousand of them seconds.  Here one process takes on an account's
groups, gid and uid as its effective ids: the kernel then checks every path by them and leaves it no capability.  Its
real and saved ids stay root's, so that it can go on to the next, and so that no account can signal or trace it.  It
executes nothing, and what it was given (open files, output) is closed.

A home may lie on a server that does not answer.  Then the process is abandoned, and another one goes on with the next.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.core.names import is_below
from jailssh.files.mounts import mounts_of
from jailssh.host import bounded
from jailssh.host.accounts import AccountEntry

LIMIT = 3.0
"""Seconds that one account may take."""
MAX_ANSWER = 1 << 20
PATIENCE = 3
"""So many homes in a row on one file system that do not answer: its other homes are not asked for."""
_PATIENCE_IN_ALL = 10
_HEAD = struct.Struct("=I?I")
"""The number of the account, whether what follows is an answer, its length."""


def ask_each(
    entries: Sequence[AccountEntry], question: Callable[[AccountEntry], bytes], limit: float = LIMIT
) -> Generator[tuple[AccountEntry, bytes | HostError], None, None]:
    """Give each account with what ``question`` returns with its rights, or with why that is not known, in their order.

    ``limit``: seconds for each account.  The question runs in another process, so what it changes is lost; it must not
    execute programs, nor follow what could lead to a device or a FIFO that blocks.  The answer is made of what the
    account could have made up: data to be judged.
    """
    silent = _Silent()
    next_one = 0
    while next_one < len(entries):
        asked = [index for index in range(next_one, len(entries)) if silent.may_ask(entries[index])]
        for index, answer in _round(entries, asked, question, limit):
            yield from _passed_over(entries[next_one:index])
            yield entries[index], answer
            next_one = index + 1
            if isinstance(answer, _SilentError):
                silent.note(entries[index])
            else:
                silent.answered(entries[index])
        if not asked:
            yield from _passed_over(entries[next_one:])
            return
        if next_one > asked[-1]:
            yield from _passed_over(entries[next_one:])
            return


class _SilentError(HostError):
    """A home that gave no answer in time."""


def _passed_over(entries: Sequence[AccountEntry]) -> Iterator[tuple[AccountEntry, HostError]]:
    for entry in entries:
        yield entry, HostError(_what(entry), "not looked at: other homes on the same file system do not answer")


def _what(entry: AccountEntry) -> str:
    return f"home of {entry.name}"


class _Silent:
    """Which file systems do not answer, known by the text of the path alone: a look at it could hang."""

    def __init__(self) -> None:
        self._in_a_row: dict[str, int] = {}
        self._in_all = 0
        self._points: list[str] = []

    def may_ask(self, entry: AccountEntry) -> bool:
        if not self._in_all:
            return True
        return self._in_all < _PATIENCE_IN_ALL and self._in_a_row.get(self._place(entry.home), 0) < PATIENCE

    def note(self, entry: AccountEntry) -> None:
        self._in_all += 1
        place = self._place(entry.home)
        self._in_a_row[place] = self._in_a_row.get(place, 0) + 1

    def answered(self, entry: AccountEntry) -> None:
        if self._in_all:
            self._in_a_row.pop(self._place(entry.home), None)

    def _place(self, home: str) -> str:
        """Return the mount point above the home, or the directory of homes where each has a mount of its own."""
        if not self._points:
            self._points = sorted({mount.point for mount in mounts_of()}, key=len, reverse=True)
        above = os.path.dirname(home)
        return next((point for point in self._points if is_below(above, point)), "/")


def _round(
    entries: Sequence[AccountEntry],
    asked: Sequence[int],
    question: Callable[[AccountEntry], bytes],
    limit: float,
) -> Iterator[tuple[int, bytes | HostError]]:
    """Ask those in ``asked`` in one process; ends early with the one that gave no answer in time."""
    if not asked:
        return
    source, target = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        _answer_all(entries, asked, question, target)
    os.close(target)
    stream = _Frames(source)
    ended = False
    try:
        for index in asked:
            frame = stream.read(time.monotonic() + limit)
            if frame is None:
                yield index, _SilentError(_what(entries[index]), f"no answer within {limit:g} seconds")
                return
            number, answer = frame
            if number != index:
                ended = stream.ended
                yield index, HostError(_what(entries[index]), "the process that looked at it was killed")
                return
            ended = index == asked[-1]
            yield index, HostError(_what(entries[index]), answer) if isinstance(answer, str) else answer
    finally:
        os.close(source)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        # What hangs in a dead file server ends when that answers; nobody waits for it.
        with suppress(ChildProcessError):
            os.waitpid(child, 0 if ended else os.WNOHANG)


class _Frames:
    """The answers as they come through the pipe."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._data = bytearray()
        self.ended = False

    def read(self, end: float) -> tuple[int, bytes | str] | None:
        """Return the next account's number and answer (bytes) or failure (str); None for nothing in time.

        At the end of the pipe the number is that of no account.
        """
        while True:
            if len(self._data) >= _HEAD.size:
                number, whole, length = _HEAD.unpack_from(self._data)
                if len(self._data) >= _HEAD.size + length:
                    data = bytes(self._data[_HEAD.size : _HEAD.size + length])
                    del self._data[: _HEAD.size + length]
                    return number, data if whole else data.decode("utf-8", "replace")
            ready, _, _ = select.select([self._source], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return None
            part = os.read(self._source, 1 << 16)
            if not part:
                self.ended = True
                return -1, ""
            self._data += part


def _answer_all(
    entries: Sequence[AccountEntry], asked: Sequence[int], question: Callable[[AccountEntry], bytes], target: int
) -> None:
    """Take on one account after the other and write a frame for each; never returns."""
    try:
        _let_go(target)
        for index in asked:
            try:
                _become(entries[index])
                data, whole = question(entries[index]), True
                if len(data) > MAX_ANSWER:
                    data, whole = b"too much data to read", False
            # Whatever goes wrong with one account, the others are looked at.
            except Exception as error:
                why = (error.strerror or "") if isinstance(error, OSError) else ""
                data, whole = (why.lower() or type(error).__name__).encode(), False
            frame = _HEAD.pack(index, whole, len(data)) + data
            while frame:
                frame = frame[os.write(target, frame) :]
    finally:
        os._exit(0)


def _let_go(target: int) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    bounded.let_go(target)
    os.chdir("/")
    os.umask(0o077)


def _become(entry: AccountEntry) -> None:
    """Take on the account's ids; raises before anything is looked at with those of another."""
    os.seteuid(0)
    if not entry.uid:
        raise PermissionError(0, "is root")
    os.setgroups([gid for _, gid in entry.groups])
    os.setegid(entry.gid)
    os.seteuid(entry.uid)
