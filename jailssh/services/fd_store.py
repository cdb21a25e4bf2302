"""A program that is kept running, with what it gives into keeping: what systemd does for its services, without it.

The program finds its descriptors as sd_listen_fds(3) says, and hands over those that its next run is to get, as
sd_notify(3) says (``FDSTORE=1``).
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.host import process

_FIRST = 3
_MOST = 253
"""Descriptors of one message (unix(7))."""
_PAUSE = 0.1
"""Seconds between two runs."""
_PATIENCE = 15.0
"""Seconds that it has to end."""
_LONGEST = 4096


class Kept:
    """``argv`` is run with ``own`` descriptors by name, and with those that it has given into keeping."""

    def __init__(self, argv: Sequence[str], own: Mapping[str, int], notify_path: str, owner: tuple[int, int]) -> None:
        self._argv = list(argv)
        self._own = dict(own)
        self._kept: list[tuple[str, int]] = []
        self._path = notify_path
        self._ends = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        if os.path.lexists(notify_path):
            os.unlink(notify_path)
        self._socket.bind(notify_path)
        os.chown(notify_path, *owner)
        os.chmod(notify_path, 0o600)

    def end(self, *_: object) -> None:
        """Have :meth:`serve` end; for a signal handler."""
        self._ends = True

    def serve(self, ready: Callable[[], None]) -> None:
        """Run the program again and again until :meth:`end`; ``ready`` is called each time it is, and must not wait."""
        while not self._ends:
            pid = self._start()
            pidfd = os.pidfd_open(pid)
            try:
                self._attend(pid, pidfd, ready)
            finally:
                os.close(pidfd)
            if not self._ends:
                time.sleep(_PAUSE)

    def _attend(self, pid: int, pidfd: int, ready: Callable[[], None]) -> None:
        deadline = 0.0
        poll = select.poll()
        for fd in (self._socket.fileno(), pidfd):
            poll.register(fd, select.POLLIN)
        while True:
            if self._ends and not deadline:
                signal.pidfd_send_signal(pidfd, signal.SIGTERM)
                deadline = time.monotonic() + _PATIENCE
            elif deadline and time.monotonic() > deadline:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            found = [fd for fd, _ in poll.poll(1000)]
            if self._socket.fileno() in found and self._listen():
                ready()
            if pidfd in found:
                os.waitpid(pid, 0)
                with suppress(BlockingIOError):  # what it said last is for its next run
                    while True:
                        self._listen()
                return

    def _listen(self) -> bool:
        """Take one message; True if it says that the program is ready."""
        data, fds, _, _ = socket.recv_fds(self._socket, _LONGEST, _MOST)
        said = dict(line.split("=", 1) for line in data.decode("utf-8", "replace").splitlines() if "=" in line)
        name = said.get("FDNAME", "")
        if "FDSTOREREMOVE" in said:
            for each, fd in self._kept:
                if each == name:
                    os.close(fd)
            self._kept = [(each, fd) for each, fd in self._kept if each != name]
        if "FDSTORE" in said and name:
            self._kept += [(name, fd) for fd in fds]
        else:
            for fd in fds:
                os.close(fd)
        return said.get("READY") == "1"

    def _start(self) -> int:
        program = process.find_program(self._argv[0])
        if program is None:
            raise HostError(f"program {self._argv[0]}", "not found", hint="install the package that contains it")
        given = sorted([*self._own.items(), *self._kept], key=lambda pair: pair[1])
        names = ":".join(name for name, _ in given)
        pid = os.fork()
        if pid:
            return pid
        try:
            # In ascending order none of them stands where another one goes.
            for number, (_, fd) in enumerate(given, _FIRST):
                os.dup2(fd, number)
                os.set_inheritable(number, True)
            os.closerange(_FIRST + len(given), os.sysconf("SC_OPEN_MAX"))
            env = {"LISTEN_FDS": str(len(given)), "LISTEN_FDNAMES": names, "LISTEN_PID": str(os.getpid())}
            os.execve(program, self._argv, {**env, "NOTIFY_SOCKET": self._path})  # noqa: S606, as it is named
        finally:
            os._exit(127)
