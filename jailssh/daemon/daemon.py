"""jailsshd: a socket that makes a plan for whoever connects.

The peer's uid, which the kernel tells (SO_PEERCRED in unix(7)), is the whole request; nothing is read from the
connection.  One line is the whole answer, see :mod:`jailssh.daemon.service`.

One thread owns the sockets.  Each job has a thread, one job a uid; connections of the same uid wait for the same job.
All counts are bounded: jobs beyond wait for a thread, connections beyond in the socket's queue.  A connection is
answered when its time is over even if the work goes on.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from systemd import daemon

from jailssh.core.errors import EXIT_FAILED, EXIT_OK, HostError, JailsshError, UsageError
from jailssh.core.names import escape
from jailssh.daemon import outbound, records, relay, status
from jailssh.daemon.service import Service, refusal
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.host.sockets import listen_at
from jailssh.webhooks import server as webhooks

MAX_THREADS = 160
"""Each job has one, so that those that wait for one jail's build do not keep another jail's from running."""

MAX_CONNECTIONS = 1024
MAX_PER_UID = 512
IDLE_EXIT = 600.0
"""Seconds without a request after which a daemon that systemd can start again ends."""

PAUSE = 0.05
"""Seconds without a look at the socket after the host had nothing left to accept a connection with."""

_CREDENTIALS = struct.Struct("3i")


@dataclass(frozen=True)
class Waiting:
    """A connection that waits for the job of its uid until ``deadline``."""

    connection: socket.socket
    uid: int
    deadline: float


class PlanServer:
    """Serves ``listener``.  ``timeout`` gives the seconds that a connection waits at most."""

    def __init__(
        self,
        listener: socket.socket,
        answer: Callable[[int], str],
        remembered: Callable[[int], str | None],
        timeout: Callable[[], float],
        idle: float | None = None,
    ) -> None:
        self._listener = listener
        self._answer = answer
        self._remembered = remembered
        self._timeout = timeout
        self._idle = idle
        self._jobs: set[int] = set()
        self._queue: deque[int] = deque()
        self._done: deque[tuple[int, str]] = deque()
        self._waiting: list[Waiting] = []
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken, listener):
            end.setblocking(False)
        self._stopping = False
        self._accept_from = 0.0

    def stop(self, *_: object) -> None:
        """End :meth:`serve` soon; may be called from a signal handler or another thread."""
        self._stopping = True
        self._nudge()

    def serve(self) -> None:
        """Answer until stopped, or until nothing came for the idle time."""
        last = time.monotonic()
        try:
            while not self._stopping:
                now = time.monotonic()
                busy = bool(self._waiting or self._jobs)
                if self._idle is not None and not busy and now - last >= self._idle:
                    break
                # Who finds no place waits in the socket's queue.
                open_for_more = len(self._waiting) < MAX_CONNECTIONS and now >= self._accept_from
                watched = [self._woken, *([self._listener] if open_for_more else [])]
                ready = select.select(watched, [], [], self._pause(now, last, busy))[0]
                if busy or self._listener in ready:
                    last = time.monotonic()
                if self._woken in ready:
                    with suppress(BlockingIOError):
                        self._woken.recv(4096)
                if self._listener in ready:
                    self._accept()
                self._settle()
        finally:
            for waiting in self._waiting:
                _reply(waiting.connection, refusal("busy"))

    def _pause(self, now: float, last: float, busy: bool) -> float | None:
        if now < self._accept_from:
            return self._accept_from - now
        if self._waiting:
            return max(0.0, min(waiting.deadline for waiting in self._waiting) - now)
        if self._idle is None or busy:
            return None
        return max(0.0, last + self._idle - now)

    def _accept(self) -> None:
        while len(self._waiting) < MAX_CONNECTIONS:
            try:
                connection = self._listener.accept()[0]
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EBADF, errno.ENOTSOCK, errno.EINVAL):
                    raise
                # The peer has gone, or the host has no descriptor or memory for it now; both pass.
                if error.errno not in (errno.ECONNABORTED, errno.EINTR):
                    self._accept_from = time.monotonic() + PAUSE
                return
            connection.setblocking(False)
            try:
                self._take(connection)
            except Exception as error:  # one connection must not end the others'
                _complain("cannot serve a connection", error)
                _reply(connection, refusal("build-failed"))

    def _take(self, connection: socket.socket) -> None:
        try:
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            connection.close()
            return
        uid = _CREDENTIALS.unpack(peer)[1]
        if line := self._remembered(uid):
            _reply(connection, line)
            return
        if sum(waiting.uid == uid for waiting in self._waiting) >= MAX_PER_UID:
            _reply(connection, refusal("busy"))
            return
        self._waiting.append(Waiting(connection, uid, time.monotonic() + self._timeout()))
        if uid not in self._jobs:
            self._jobs.add(uid)
            self._queue.append(uid)
            self._start()

    def _start(self) -> None:
        """Give a thread to the jobs whose turn it is."""
        while self._queue and len(self._jobs) - len(self._queue) < MAX_THREADS:
            uid = self._queue.popleft()
            try:
                # A daemon thread: what it builds can be interrupted at any point, so the end need not wait for it.
                threading.Thread(target=self._work, args=(uid,), daemon=True).start()
            except (RuntimeError, MemoryError) as error:
                _complain("cannot start a thread", error)
                self._done.append((uid, refusal("busy")))
                self._nudge()

    def _work(self, uid: int) -> None:
        """Do the job of ``uid``: there is an answer, whatever happens."""
        line = refusal("build-failed")
        try:
            line = self._answer(uid)
        except BaseException as error:
            _complain(f"cannot serve the login of uid {uid}", error)
        finally:
            self._done.append((uid, line))
            self._nudge()

    def _settle(self) -> None:
        """Answer the connections whose job is done or whose time is over; forget the jobs that are done."""
        now = time.monotonic()
        done: dict[int, str] = {}
        while self._done:
            uid, line = self._done.popleft()
            done[uid] = line
        still = []
        for waiting in self._waiting:
            if waiting.uid in done:
                _reply(waiting.connection, done[waiting.uid])
            elif waiting.deadline <= now:
                _reply(waiting.connection, refusal("build-timeout"))
            else:
                still.append(waiting)
        self._waiting = still
        self._jobs.difference_update(done)
        self._start()

    def _nudge(self) -> None:
        with suppress(OSError):
            self._wake.send(b"x")


def _complain(what: str, error: BaseException) -> None:
    """Say on standard error, which is the journal under systemd, what nobody expected; never raises."""
    with suppress(Exception):
        print(f"jailsshd: {what}: {type(error).__name__}: {escape(str(error), 500)}", file=sys.stderr, flush=True)


def _reply(connection: socket.socket, line: str) -> None:
    # One short line always fits the empty buffer of a new connection; a peer that has gone needs no answer.
    with suppress(OSError):
        connection.send(line.encode() + b"\n")
    connection.close()


@contextmanager
def listening(layout: Layout) -> Iterator[tuple[socket.socket, bool]]:
    """Give the socket to serve, and if it is systemd's; two daemons never serve at once."""

    def taken(pid: int) -> None:
        raise HostError("jailsshd", f"is already running (process {pid})")

    given = activated()
    fs.ensure_dir(layout.run, 0o755)
    with fs.lock(f"{layout.run}/jailsshd.lock", taken):
        yield given or listen_at(layout.socket, 0o666, backlog=MAX_CONNECTIONS), given is not None


def activated() -> socket.socket | None:
    """Return the socket that systemd handed over (sd_listen_fds(3)), or None."""
    fds = daemon.listen_fds()
    if len(fds) > 1:
        raise HostError("jailsshd", f"systemd passed {len(fds)} sockets, expected 1")
    return socket.socket(fileno=fds[0]) if fds else None


def run(layout: Layout, listener: socket.socket, by_systemd: bool) -> None:
    """Serve ``listener`` until a signal ends it, or, ``by_systemd``, until it was idle for long."""
    service = Service(layout, records.send)
    teller = status.Teller(layout, _notify)

    def answer(uid: int) -> str:
        line = service.answer(uid)
        teller.count(line, service.trouble())
        return line

    server = PlanServer(listener, answer, service.remembered, service.build_timeout, IDLE_EXIT if by_systemd else None)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.stop)
    # The configuration is read at the start, so that the one before a later mistake is known.
    service.build_timeout()
    _notify("READY=1")
    teller.tell(service.trouble())
    server.serve()
    _notify("STOPPING=1")
    fs.remove_file(status.path(layout))


def _notify(state: str) -> None:
    # A manager that does not listen any more is no reason to stop serving.
    with suppress(OSError):
        daemon.notify(state)


def _serve(layout: Layout) -> int:
    with listening(layout) as (listener, by_systemd):
        run(layout, listener, by_systemd)
    return EXIT_OK


_WORK: Mapping[tuple[str, ...], Callable[[Layout], int]] = {
    (): _serve,
    ("relay",): relay.keep_running,
    ("relay-sockets",): relay.provide_all,
    ("webhooks",): webhooks.serve,
    ("outbound",): outbound.keep_true,
}
"""What the daemon does by its arguments."""


def main() -> int:
    """Run the daemon on the real host; returns its exit status."""
    os.umask(0o022)
    layout = Layout()
    try:
        if os.geteuid() != 0:
            raise HostError("jailsshd", "must be run as root")
        words = tuple(sys.argv[1:])
        work = _WORK.get(words)
        if work is None and len(words) == 2 and words[0] == "outbound":
            return outbound.provide(layout, words[1])
        if work is None:
            raise UsageError("jailsshd", "takes no argument, or one: relay, relay-sockets, webhooks, outbound")
        return work(layout)
    except JailsshError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return error.exit_code
    except Exception as error:  # said in one line; the next connection starts it again
        _complain("ended", error)
        return EXIT_FAILED
