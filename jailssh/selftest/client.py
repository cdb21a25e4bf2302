"""The client: one connection to the host's own sshd, each request on it bounded in time and size.

It is paramiko's and not ``ssh``: nothing of root's own configuration, agent or known hosts plays a part, and requests
can be sent that no client of people would send.
"""

from __future__ import annotations

import io
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import paramiko
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from jailssh.selftest.report import CannotTryError, shown
from jailssh.selftest.servers import Place

SECONDS = 20.0
"""As long one request may take."""
CONNECTING = 10.0
MOST = 1 << 18
# It would print what servers refuse, which is what is wanted here.
logging.getLogger("paramiko").setLevel(logging.CRITICAL + 1)
_FULL = b"session limit reached"
_PATIENCE = 3.0

FAILURES = (paramiko.SSHException, EOFError, OSError)
"""What paramiko raises where the server says no, or ends."""


@dataclass(frozen=True)
class ClientKey:
    """A key that was made a moment ago and is kept in memory alone."""

    private: paramiko.PKey
    blob: str

    @classmethod
    def make(cls) -> ClientKey:
        """Return a new ed25519 key."""
        text = Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        private = paramiko.Ed25519Key.from_private_key(io.StringIO(text.decode("ascii")))
        return cls(private, private.get_base64())


@dataclass(frozen=True)
class Ran:
    """What came of a command: its exit status (-1: none came), its output, its error output."""

    code: int
    out: bytes
    err: bytes

    def told(self) -> str:
        """Return it in one line."""
        status = f"exit {self.code}" if self.code >= 0 else "no exit status"
        said = [shown(each[:600]) for each in (self.out, self.err) if each.strip()]
        return "; ".join([status, *said])


class Connection:
    """An authenticated connection, made anew where the one before has ended."""

    def __init__(self, place: Place, user: str, key: ClientKey) -> None:
        self.place = place
        self._user = user
        self._key = key
        self._transport: paramiko.Transport | None = None

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def transport(self) -> paramiko.Transport:
        """Return the connection; :class:`CannotTryError` where there is none to be had."""
        if self._transport is None or not self._transport.is_active():
            self.close()
            self._transport = self._connect()
        return self._transport

    def open_socket(self) -> socket.socket:
        """Return a new connection to the server; raises OSError."""
        return socket.create_connection((self.place.address, self.place.port), timeout=CONNECTING)

    def _connect(self) -> paramiko.Transport:
        what = f"sshd at {self.place}"
        try:
            made = self.open_socket()
        except OSError as error:
            why = f"cannot be reached: {(error.strerror or str(error)).lower()}"
            raise CannotTryError(what, why, hint="start it: systemctl start ssh") from error
        # Else each short request waits for the acknowledgement of the one before.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(made)
        transport.banner_timeout = transport.handshake_timeout = transport.auth_timeout = CONNECTING
        try:
            transport.start_client(timeout=CONNECTING)
            server = transport.get_remote_server_key()
            if server.get_base64() not in self.place.host_keys:
                why = "does not have a host key that sshd -T names, so it is not this host's sshd"
                raise CannotTryError(what, why, hint="see what listens there: ss -ltnp")
            with bounded(transport):
                transport.auth_publickey(self._user, self._key.private)
        except paramiko.AuthenticationException as error:
            transport.close()
            raise NotAuthenticatedError(what, "does not accept the key of the selftest") from error
        except FAILURES as error:
            transport.close()
            why = shown(str(error)) or "the connection ended"
            raise CannotTryError(what, f"does not serve: {why}", hint="see its log: journalctl -u ssh") from error
        except BaseException:
            transport.close()
            raise
        return transport

    def answers(self) -> bool:
        """True if the server still answers on this connection: what ended before was its answer, and no lost line."""
        transport = self._transport
        return transport is not None and is_answering(transport)

    @contextmanager
    def channel(self) -> Iterator[paramiko.Channel]:
        """Give a session; whatever is asked of it ends within :data:`SECONDS`."""
        transport = self.transport()
        with bounded(transport):
            channel = transport.open_session(timeout=CONNECTING)
            channel.settimeout(SECONDS)
            try:
                yield channel
            finally:
                channel.close()

    def run(
        self, command: str | None, input: bytes = b"", *, env: Mapping[str, str] | None = None, pty: bool = False
    ) -> Ran:
        """Run a command, None for a login shell; one that finds no room among the account's sessions is tried again."""
        end = time.monotonic() + _PATIENCE
        while True:
            ran = self._run(command, input, env or {}, pty)
            if _FULL not in ran.err + ran.out:
                return ran
            if time.monotonic() > end:
                raise CannotTryError(f"account {self._user}", shown(ran.err or ran.out).removeprefix("jailssh: "),
                                     hint="end its sessions, or try again later")  # fmt: skip
            time.sleep(0.2)

    def _run(self, command: str | None, input: bytes, env: Mapping[str, str], pty: bool) -> Ran:
        out, err = bytearray(), bytearray()
        code = -1
        with suppress(*FAILURES), self.channel() as channel:
            for name, value in env.items():
                channel.set_environment_variable(name, value)
            if pty:
                channel.get_pty()
            channel.invoke_shell() if command is None else channel.exec_command(command)
            reader = threading.Thread(target=_collect, args=(channel.recv_stderr, err), daemon=True)
            reader.start()
            if input:
                with suppress(OSError):
                    channel.sendall(input)
            if not pty:
                with suppress(OSError, EOFError):
                    channel.shutdown_write()
            _collect(channel.recv, out)
            reader.join(SECONDS)
            if channel.status_event.wait(SECONDS):
                code = channel.recv_exit_status()
        return Ran(code, bytes(out), bytes(err))

    @contextmanager
    def sftp(self, subsystem: str = "sftp") -> Iterator[paramiko.SFTPClient]:
        """Give an sftp client of a subsystem; raises one of :data:`FAILURES` where there is no server."""
        with self.channel() as channel:
            channel.invoke_subsystem(subsystem)
            client = paramiko.SFTPClient(channel)
            try:
                client.normalize(".")
            except PermissionError as error:
                # The login program tells who has no server so, which begins as one; a server has no such words.
                if str(error.strerror).startswith("jailssh: "):
                    raise paramiko.SSHException(error.strerror) from error
            yield client


def is_answering(transport: paramiko.Transport) -> bool:
    """True if the server answers a request that it need not know (RFC 4254 section 4); nothing else proves that."""
    with suppress(*FAILURES), bounded(transport):
        transport.global_request("keepalive@openssh.com", wait=True)
        return bool(transport.is_active())
    return False


class NotAuthenticatedError(CannotTryError):
    """The key is not accepted."""


def _collect(receive: Callable[[int], bytes], into: bytearray) -> None:
    with suppress(OSError):
        while len(into) < MOST and (chunk := receive(1 << 15)):
            into += chunk


@contextmanager
def bounded(transport: paramiko.Transport) -> Iterator[None]:
    """Cut the connection where a request does not end: paramiko waits for an answer without a limit."""
    timer = threading.Timer(2 * SECONDS, transport.close)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
