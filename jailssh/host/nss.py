"""The name service, asked in processes of its own and for a bounded time: :mod:`jailssh.host.nss_helper`.

There are three answers: found, absent, and :class:`UnansweredError` for all that is neither, such as a directory
service that is away, hangs, or says that it cannot tell now.  Nobody is taken for gone because of the third.

Safe for threads.  A helper is kept for the next question; of those that work at the same time there are few.
"""

from __future__ import annotations

import atexit
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from jailssh.core import ending
from jailssh.core.errors import JailsshError
from jailssh.core.names import escape
from jailssh.host import nss_helper
from jailssh.host.process import SYSTEM_PATH

LIMIT = 5.0
"""Seconds for one answer."""

HELPERS = 8
"""How many may be asked at the same time; who comes later waits within its own limit."""

PATIENCE = 3
"""After so many questions in a row without an answer in time the next are not asked, but for one in a while."""

PAUSE = 10.0

_ENVIRONMENT = {"PATH": ":".join(SYSTEM_PATH), "LC_ALL": "C.UTF-8"}
_PROGRAM = pathlib.Path(__file__).with_name("nss_helper.py")
_FILES = {"user": ("/etc/passwd", 0), "uid": ("/etc/passwd", 2), "group": ("/etc/group", 0), "gid": ("/etc/group", 2)}


class UnansweredError(JailsshError):
    """The name service could not say whether there is such an account or group."""


class _HelperProcess(Protocol):
    pid: int

    def kill(self) -> None: ...

    def wait(self) -> int: ...


class _Forked:
    """A copy of this process that does nothing but answer."""

    def __init__(self, theirs: socket.socket) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _answer(theirs.fileno())
            finally:
                os._exit(0)

    def kill(self) -> None:
        """End it; it may have ended, but nobody else has waited for it."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        """Wait for its end; return its status."""
        return os.waitpid(self.pid, 0)[1]


def _answer(theirs: int) -> None:
    """Keep nothing of the caller's but the socket; answer until its other end is gone."""
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for fd, of in enumerate((theirs, null, null)):
        os.dup2(of, fd)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(_ENVIRONMENT)
    nss_helper.main()


def _started(theirs: socket.socket) -> _HelperProcess:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_PROGRAM)],
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
        cwd="/",
        start_new_session=True,
    )


class _Helper:
    def __init__(self, make: Callable[[socket.socket], _HelperProcess] = _started) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        with theirs:
            self._process = make(theirs)

    def ask(self, kind: str, key: str, until: float) -> list[str]:
        """Return the tokens of the answer; :class:`OSError` where there is none in time."""
        left = max(0.001, until - time.monotonic())
        data = f"{left:.3f}\0{kind}\0{key}".encode("utf-8", "surrogateescape")
        self._socket.settimeout(left)
        self._socket.sendall(len(data).to_bytes(4, "big") + data)
        size = int.from_bytes(self._receive(4, until), "big")
        return self._receive(size, until).decode("utf-8", "surrogateescape").split("\0")

    def _receive(self, size: int, until: float) -> bytes:
        data = b""
        while len(data) < size:
            self._socket.settimeout(max(0.001, until - time.monotonic()))
            more = self._socket.recv(size - len(data))
            if not more:
                # Its own alarm comes at about the same time as the end of our wait.
                raise TimeoutError if time.monotonic() > until - 0.1 else ConnectionError("the helper has ended")
            data += more
        return data

    def end(self) -> None:
        """Kill it: it holds nothing."""
        self._socket.close()
        self._process.kill()
        self._process.wait()


class Patience:
    """Counts questions that got no answer in time, those about local accounts apart from all others.

    A directory that hangs must not make a command wait for each of its accounts, nor keep the local ones from theirs.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._late: dict[bool, int] = {}
        self._again: dict[bool, float] = {}

    def may_ask(self, local: bool) -> bool:
        """True if it is worth to ask; in a row without answers that is true once in a while."""
        if self._late.get(local, 0) < PATIENCE:
            return True
        now = self._clock()
        if now < self._again.get(local, 0):
            return False
        self._again[local] = now + PAUSE
        return True

    def note(self, local: bool, *, late: bool) -> None:
        """Remember how a question ended."""
        self._late[local] = self._late.get(local, 0) + 1 if late else 0
        if late:
            self._again[local] = self._clock() + PAUSE

    def tried(self) -> bool:
        """True if some question got no answer in time lately."""
        return any(self._late.values())


class Asker:
    """Asks helpers; :func:`ask` uses one for the whole process."""

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._idle: list[_Helper] = []
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(HELPERS)
        self._patience = Patience()
        self._owner = os.getpid()

    def ask(self, kind: str, key: str) -> list[str] | None:
        """Return what was found, None for nothing; :class:`UnansweredError` where that could not be said.

        ``kind`` and what is found are as :mod:`jailssh.host.nss_helper` has them.
        """
        if "\0" in key:
            return None
        what = f"{_NAMES[kind]} {escape(key)}".rstrip()
        local = not self._patience.tried() or _is_local(kind, key)
        if not self._patience.may_ask(local):
            raise UnansweredError(what, "cannot be looked up: the name service does not answer", hint=_HINT)
        until = time.monotonic() + self._limit
        if not self._places.acquire(timeout=self._limit):
            raise UnansweredError(what, "cannot be looked up: the name service does not answer", hint=_HINT)
        try:
            tokens = self._with_helper(kind, key, until)
        except TimeoutError:
            self._patience.note(_is_local(kind, key), late=True)
            why = f"cannot be looked up: no answer of the name service within {self._limit:g} seconds"
            raise UnansweredError(what, why, hint=_HINT) from None
        except OSError as error:
            raise UnansweredError(what, f"cannot be looked up: {error}", hint=_HINT) from error
        finally:
            self._places.release()
        self._patience.note(local, late=False)
        if tokens[0] == "unknown":
            raise UnansweredError(what, f"cannot be looked up: {escape(tokens[1], 200)}", hint=_HINT)
        return tokens[1:] if tokens[0] == "found" else None

    def _with_helper(self, kind: str, key: str, until: float) -> list[str]:
        with self._lock:
            if self._owner != os.getpid():  # a child's: its parent still asks through the same sockets
                self._idle, self._owner = [], os.getpid()
            helper = self._idle.pop() if self._idle else None
        if helper is not None:
            try:
                return self._one(helper, kind, key, until)
            except ConnectionError:
                pass  # It was killed while nobody asked.
        return self._one(_Helper(), kind, key, until)

    def _one(self, helper: _Helper, kind: str, key: str, until: float) -> list[str]:
        try:
            tokens = helper.ask(kind, key, until)
        except BaseException:
            helper.end()
            raise
        with self._lock:
            self._idle.append(helper)
        return tokens

    def warm(self) -> None:
        """Start a helper before the first question; what goes wrong is told by that one.

        While this process is small and has one thread a copy of it is a helper, which is faster than a new Python.
        """
        with suppress(OSError):
            helper = _Helper(_Forked if threading.active_count() == 1 else _started)
            with self._lock:
                self._idle.append(helper)

    def close(self) -> None:
        """End the helpers that nobody asks."""
        with self._lock:
            idle, self._idle = self._idle, []
        if self._owner == os.getpid():
            for helper in idle:
                helper.end()


_NAMES = {"user": "account", "uid": "account with uid", "group": "group", "gid": "group with gid", "groups": "groups"}
_HINT = "check the directory service (getent passwd NAME), then repeat the command"
_asker = Asker()
atexit.register(_asker.close)
ending.register(_asker.close)


def ask(kind: str, key: str = "") -> list[str] | None:
    """Do what :meth:`Asker.ask` does, with the helpers of this process."""
    return _asker.ask(kind, key)


def warm() -> None:
    """Do what :meth:`Asker.warm` does, for this process."""
    _asker.warm()


def close() -> None:
    """Do what :meth:`Asker.close` does, for this process."""
    _asker.close()


def _is_local(kind: str, key: str) -> bool:
    """True if /etc/passwd has the account, or /etc/group the group."""
    path, column = _FILES.get(kind, ("", 0))
    with suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
        return any(line.rstrip("\n").split(":")[column : column + 1] == [key] for line in stream)
    return False
