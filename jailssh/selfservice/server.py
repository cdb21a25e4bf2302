"""jailsshd-self: the socket by which accounts in jails ask for changes of themselves.

It is a service beside jailsshd, which reads nothing from those who connect and serves logins.  Who asks is the peer's
uid, which the kernel tells (SO_PEERCRED in unix(7)).  A thread for each connection reads it, bounded in size and time;
what is asked for is judged and done in a process of its own, which ends with that, bounded in time too.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from contextlib import suppress

from systemd import daemon as manager

from jailssh.core.asking import MOST, SOCKET, Wish
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, HostError, JailsshError
from jailssh.core.names import escape
from jailssh.daemon.daemon import activated
from jailssh.files import fs
from jailssh.host import bounded
from jailssh.host.paths import Layout
from jailssh.host.sockets import listen_at
from jailssh.selfservice import password
from jailssh.selfservice.answer import Answer, Code, answer
from jailssh.selfservice.limits import Limits

READ_WITHIN, WORK_WITHIN, IDLE_EXIT = 10.0, 60.0, 600.0
"""Seconds for a request to come, for it to be done, and after which a service that systemd starts again ends."""
_BACKLOG = 256
_CREDENTIALS = struct.Struct("3i")


class Server:
    """Serves ``listener``; ``idle``: seconds without a request after which :meth:`serve` ends, None for never."""

    def __init__(self, layout: Layout, listener: socket.socket, idle: float | None) -> None:
        self._layout, self._listener, self._idle = layout, listener, idle
        self._limits, self._lock = Limits(), threading.Lock()
        self._wake, self._woken = socket.socketpair()
        listener.setblocking(False)
        self._stopping = False

    def stop(self, *_: object) -> None:
        """End :meth:`serve` soon; may be called from a signal handler."""
        self._stopping = True
        with suppress(OSError):
            self._wake.send(b"x")

    def serve(self) -> None:
        """Answer until stopped or idle."""
        last = time.monotonic()
        while not self._stopping:
            ready = select.select([self._listener, self._woken], [], [], self._idle)[0]
            now = time.monotonic()
            if self._listener in ready:
                last = now
                self._accept(now)
            elif self._idle is not None and now - last >= self._idle and self._limits.is_idle(now):
                return

    def _accept(self, now: float) -> None:
        try:
            connection = self._listener.accept()[0]
        except OSError as error:
            time.sleep(0 if isinstance(error, BlockingIOError) else 0.05)  # no descriptors: they come back
            return
        uid = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[1]
        with self._lock:
            why = self._limits.begin(uid, now)
        if why:
            _reply(connection, Answer(Code.TROUBLE, (why,)))
            return
        try:
            threading.Thread(target=self._serve_one, args=(connection, uid), daemon=True).start()
        except (RuntimeError, MemoryError):
            self._end(uid)
            _reply(connection, Answer(Code.TROUBLE, ("too many requests at the moment; try again",)))

    def _serve_one(self, connection: socket.socket, uid: int) -> None:
        reply: Answer | bytes | None = Answer(Code.TROUBLE, ("this cannot be done at the moment",))
        try:
            data = _read(connection)
            reply = self._answer(uid, data) if data else None
        except Exception as error:  # one request must not end the others'
            _complain(f"cannot serve uid {uid}", error)
        finally:
            self._end(uid)
            if reply is None:
                connection.close()  # cut off, or nothing: nobody is there who waits
            else:
                _reply(connection, reply)

    def _answer(self, uid: int, data: bytes) -> Answer | bytes:
        asks_password = data.split(b"\0", 2)[1:2] == [Wish.PASSWORD.encode()]
        with self._lock:
            if asks_password and self._limits.has_guessed(uid, time.monotonic()):
                return Answer(Code.TROUBLE, ("the present password was wrong too often; try again in 15 minutes",))
        said = bounded.ask(
            f"self-service of uid {uid}",
            lambda: answer(self._layout, uid, data).encoded(),
            WORK_WITHIN,
            ended="the process that does it has crashed",
        )
        if said.startswith(b"%d\n" % Code.WRONG_PASSWORD):
            with self._lock:
                self._limits.count_wrong(uid, time.monotonic())
        return said

    def _end(self, uid: int) -> None:
        with self._lock:
            self._limits.end(uid)


def _read(connection: socket.socket) -> bytes:
    """Return all that comes until its end, cut where it is too long; b"" for what does not end in time."""
    end, data = time.monotonic() + READ_WITHIN, bytearray()
    while len(data) <= MOST:
        left = end - time.monotonic()
        if left <= 0:
            return b""
        connection.settimeout(left)
        try:
            part = connection.recv(MOST + 1 - len(data))
        except OSError:
            return b""
        if not part:
            break
        data += part
    return bytes(data)


def _reply(connection: socket.socket, reply: Answer | bytes) -> None:
    with suppress(OSError):
        connection.settimeout(5)
        connection.sendall(reply if isinstance(reply, bytes) else reply.encoded())
    connection.close()


def _complain(what: str, error: BaseException) -> None:
    with suppress(Exception):
        text = f"jailsshd-self: {what}: {type(error).__name__}: {escape(str(error), 500)}"
        print(text, file=sys.stderr, flush=True)


def listen(layout: Layout) -> socket.socket:
    """Return the socket at its place, of which only jails show the directory."""
    fs.ensure_dir(layout.run, 0o755)
    fs.ensure_dir(os.path.dirname(layout.asking), 0o700)
    fs.ensure_dir(layout.asking, 0o755)
    return listen_at(f"{layout.asking}/{SOCKET}", 0o666, backlog=_BACKLOG)


def run(layout: Layout) -> None:
    """Serve until a signal ends it, or, where systemd has given the socket, until it was idle for long."""

    def taken(pid: int) -> None:
        raise HostError("jailsshd-self", f"is already running (process {pid})")

    given = activated()
    fs.ensure_dir(layout.run, 0o755)
    with fs.lock(f"{layout.run}/jailsshd-self.lock", taken):
        server = Server(layout, given or listen(layout), IDLE_EXIT if given else None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, server.stop)
        with suppress(OSError):
            manager.notify("READY=1")
        server.serve()


def main() -> int:
    """Run the service on the real host; returns its exit status."""
    os.umask(0o022)
    try:
        if os.geteuid() != 0:
            raise HostError("jailsshd-self", "must be run as root")
        password.keep_secret()
        run(Layout())
        return EXIT_OK
    except JailsshError as error:
        print("\n".join(error.lines()), file=sys.stderr)
        return error.exit_code
    except Exception as error:  # said in one line; the next connection starts it again
        _complain("ended", error)
        return EXIT_FAILED
