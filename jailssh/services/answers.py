"""Many short questions about paths, asked of one process beside this one, each for a bounded time.

A file server that is away stops the process that asks it, which may be any path: a bind of a jail's, or a link that an
account has put on the way.  A process for each question costs milliseconds; this one goes on with the next.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from jailssh.core.errors import HostError
from jailssh.core.names import is_below
from jailssh.files.mounts import mounts_of
from jailssh.host import bounded
from jailssh.host.bounded import NoAnswerError

SECONDS = 3.0
PATIENCE = 5
"""So many paths that give no answer: the others are not asked about."""
_HEAD = 8


class Answers:
    """Asks ``question`` (a path, what is asked about it); it runs in another process, so what it changes is lost."""

    def __init__(self, question: Callable[[str, str], bytes], seconds: float = SECONDS) -> None:
        self._question = question
        self._seconds = seconds
        self._child: tuple[int, socket.socket] | None = None
        self._silent: list[str] = []
        self._made_by = os.getpid()

    def __del__(self) -> None:
        self._end(wait=True)

    def ask(self, path: str, what: str = "") -> bytes:
        """Return the answer; :class:`NoAnswerError` for none in time, and without asking where none is to be had.

        :class:`HostError` where the question fails.
        """
        if len(self._silent) >= PATIENCE or any(is_below(path, silent) for silent in self._silent):
            raise NoAnswerError(path, "not looked at: other paths on the same file system do not answer")
        if self._child is None or self._made_by != os.getpid():
            self._child = self._start()
            self._made_by = os.getpid()
        _, line = self._child
        try:
            _send(line, os.fsencode(f"{what}\0{path}"))
            return _receive(line, self._seconds)
        except TimeoutError:
            self._silent.append(_file_system_of(path))
            self._end(wait=False)
            raise NoAnswerError(path, f"no answer within {self._seconds:g} seconds") from None
        except (OSError, EOFError):
            self._end(wait=True)
            raise HostError(path, "the process that looked at it ended") from None

    def _start(self) -> tuple[int, socket.socket]:
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            _serve(self._question, theirs)
        theirs.close()
        return child, ours

    def _end(self, *, wait: bool) -> None:
        # In a copy of this process it is another's child.
        if self._child is None or self._made_by != os.getpid():
            return
        child, line = self._child
        self._child = None
        line.close()
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        # What hangs in a dead file server ends when that answers; nobody waits for it.
        with suppress(ChildProcessError):
            os.waitpid(child, 0 if wait else os.WNOHANG)


def _file_system_of(path: str) -> str:
    """Return the mount point above a path by its text alone, the path where that is the root: a link may lead away."""
    point = max((mount.point for mount in mounts_of() if is_below(path, mount.point)), key=len, default=os.sep)
    return path if point == os.sep else point


def _serve(question: Callable[[str, str], bytes], line: socket.socket) -> NoReturn:
    try:
        os.setsid()
        os.chdir("/")
        bounded.let_go(line.fileno())
        while True:
            what, _, path = os.fsdecode(_receive(line, None)).partition("\0")
            _send(line, question(path, what))
    finally:
        os._exit(0)


def _send(line: socket.socket, data: bytes) -> None:
    line.sendall(len(data).to_bytes(_HEAD, "big") + data)


def _receive(line: socket.socket, seconds: float | None) -> bytes:
    end = None if seconds is None else time.monotonic() + seconds
    data = bytearray()
    while len(data) < _HEAD or len(data) < _HEAD + int.from_bytes(data[:_HEAD], "big"):
        if end is not None and not select.select([line], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError
        part = line.recv(1 << 16)
        if not part:
            raise EOFError
        data += part
        if len(data) > bounded.MAX_ANSWER:
            raise EOFError
    return bytes(data[_HEAD:])
