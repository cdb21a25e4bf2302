"""The sockets by which jails log: made here as root, read by the relay, which has no power (``jailssh/relay``).

Each account has a directory of its own, which its jail shows as ``/run/systemd/journal``: what comes by the socket in
it is this account's, whatever it says of itself.  A socket gets its name when the relay has it, so that nobody sends
to one that nobody reads.
"""

from __future__ import annotations

import os
import secrets
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass

from jailssh.core.errors import HostError, JailsshError
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.host import accounts, install
from jailssh.host.journal import RELAY_USER
from jailssh.host.paths import Layout

SOCKET, LINK = "socket", "dev-log"
_TIMEOUT = 5.0
_OK = b"ok"
_SILENT = "the relay does not answer; see: systemctl status jailssh-relay"


@dataclass(frozen=True)
class Logging:
    """Whose log is relayed, and how much: ``base`` bytes in each ``interval`` (seconds), ``peak`` bytes at once."""

    uid: int
    name: str
    jail: str
    _: KW_ONLY
    base: int
    peak: int
    interval: int


class Relay:
    """The connection to the relay."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._silent = False

    def set(self, who: Logging, fd: int | None = None) -> str:
        """Say whose an account's sockets are, with a new one at ``fd``; return why that is refused, or ""."""
        words = ("set", who.uid, who.name, who.jail, who.base, who.peak, who.interval * 1000)
        return self._ask("\0".join(map(str, words)), [] if fd is None else [fd])

    def drop(self, uid: int) -> str:
        """Have the relay close the account's sockets; return why that is refused, or ""."""
        return self._ask(f"drop\0{uid}", [])

    def _ask(self, request: str, fds: list[int]) -> str:
        if self._silent:
            return _SILENT
        try:
            socket.send_fds(self._connection, [request.encode("utf-8", "surrogateescape")], fds)
            answer = self._connection.recv(1024)
        except OSError:  # all that is still to be asked would wait as long
            self._silent = True
            return _SILENT
        return "" if answer == _OK else escape(answer, 200) or "it has ended"


@contextmanager
def connected(layout: Layout) -> Iterator[Relay | None]:
    """Give the relay, None where none runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as connection:
        connection.settimeout(_TIMEOUT)
        try:
            connection.connect(layout.relay_socket)
        except OSError:
            yield None
            return
        yield Relay(connection)


def place(layout: Layout, uid: int) -> str:
    """Return the directory with the account's socket."""
    return f"{layout.log_sockets}/{uid}"


def make_place(layout: Layout, uid: int) -> None:
    """Make that directory, which a login shows if it is there; a socket may come later."""
    fs.ensure_dir(layout.log_sockets, 0o700)
    fs.ensure_dir(place(layout, uid), 0o755)


def provide(layout: Layout, who: Logging, relay: Relay | None) -> str:
    """Make sure that the account can log and the relay knows whose that is; return what went wrong, or "".

    A socket that the relay reads stays: sessions have it open.
    """
    try:
        make_place(layout, who.uid)
        if relay is None:
            return f"what {escape(who.name)} logs in its jail is not relayed: {_not_there(layout)}"
        folder = fs.open_dir(place(layout, who.uid))
        try:
            why = relay.set(who) if _is_read(folder) else "none"
            if why and why != _SILENT:
                why = _renew(folder, who, relay)
            fs.atomic_symlink_at(folder, LINK, SOCKET)
        finally:
            os.close(folder)
    except (JailsshError, OSError) as error:
        why = str(error)
    return f"what {escape(who.name)} logs in its jail is not relayed: {why}" if why else ""


def _not_there(layout: Layout) -> str:
    """Say that no relay runs, and what starts it: first the account that it runs as, which packages alone make."""
    sysusers = "" if accounts.find(RELAY_USER) else f"systemd-sysusers {layout.relay_user}; "
    return f"jailssh-relay does not run; to start it: {sysusers}systemctl enable --now jailssh-relay.service"


def withdraw(layout: Layout, uid: int) -> None:
    """Take the account's socket away; sessions that have it open cannot log any more.  Nothing where there is none."""
    if not os.path.isdir(place(layout, uid)):
        return
    with connected(layout) as relay:
        if relay:
            relay.drop(uid)
    for name in os.listdir(place(layout, uid)):
        fs.remove_file(f"{place(layout, uid)}/{name}")
    install.remove_empty_dir(place(layout, uid))
    install.remove_empty_dir(layout.log_sockets)


def provided(layout: Layout) -> list[int]:
    """Return the uids that have a directory."""
    try:
        return sorted(int(name) for name in os.listdir(layout.log_sockets) if name.isascii() and name.isdecimal())
    except FileNotFoundError:
        return []


def _is_read(folder: int) -> bool:
    """True if somebody holds the other end of the socket in this directory."""
    try:
        if not stat.S_ISSOCK(os.stat(SOCKET, dir_fd=folder, follow_symlinks=False).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
            probe.connect(f"/proc/self/fd/{folder}/{SOCKET}")
            return True
    except (FileNotFoundError, ConnectionRefusedError):
        return False


def _renew(folder: int, who: Logging, relay: Relay) -> str:
    """Put a new socket in the place of what is there, once the relay has it; return why it does not take it."""
    new = f".new-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as made:
        # Before anybody can send: the kernel notes who does (SCM_CREDENTIALS in unix(7)).
        made.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        try:
            made.bind(f"/proc/self/fd/{folder}/{new}")
            os.chmod(new, 0o666, dir_fd=folder)  # noqa: S103, who the sender is says the kernel
            if why := relay.set(who, made.fileno()):
                os.unlink(new, dir_fd=folder)
                return why
            os.rename(new, SOCKET, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            with suppress(OSError):
                os.unlink(new, dir_fd=folder)
            raise HostError(f"socket of uid {who.uid}", (error.strerror or str(error)).lower()) from error
    return ""
