"""The sshd that runs: which configuration it has read, which may be older than the one on disk.

The drop-in has a banner for an account that does not exist, :data:`PROBE`, and for clients of this host alone.  The
banner's file is named by the drop-in's own content.  sshd sends a banner before any login, and judges the ``Match``
blocks with what the listening process has read, so one connection without a login tells what that process goes by.

Where no banner can be seen (another ``Match`` block has one, there is no client), times are compared: sshd writes its
pid file after each reading of its configuration.  What neither tells is "unknown", which is never taken for right.
"""

from __future__ import annotations

import glob
import ipaddress
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from jailssh.core.closed import Word
from jailssh.core.errors import HostError, JailsshError
from jailssh.host import install, process
from jailssh.host.paths import Layout
from jailssh.host.process import Running
from jailssh.services import sshd, sshds

PROBE = "jailssh-probe"


class Standing(Word):
    """Whether a listener goes by what is on disk, and by nothing else."""

    RIGHT = "right"
    OLD = "old"
    UNKNOWN = "unknown"


_PID_FILES = ("/run/sshd.pid", "/var/run/sshd.pid")
_LISTEN = "0A"
_MARK = re.compile(r"^jailssh-set-up ([0-9a-f]{16})\s*$", re.MULTILINE)
_TIMEOUT = 10
_QUICK = ("-o", "KexAlgorithms=-sntrup*,mlkem*")
"""Nothing secret is sent, and the slow key exchanges take each side ten times as long as all else it does."""
_TOO_QUICK = ("no matching key exchange", "KexAlgorithms")
"""What the client says of a server that has only these, or where it knows no such option."""
SLACK = 0.05
"""Seconds: clocks of files and of processes differ by a tick or so."""


@dataclass(frozen=True)
class Listener:
    """A process that listens for SSH: how it was started, where it listens, the unit of systemd it is in, or ""."""

    pid: int
    server: sshds.SshdServer
    places: tuple[tuple[str, int], ...]
    unit: str = ""

    def name(self) -> str:
        """Return it for people."""
        return f"sshd, process {self.pid}" + (f" of {self.unit}" if self.unit else "")


@dataclass(frozen=True)
class ListenerState:
    """What a listener goes by: ``why`` says how that is known."""

    listener: Listener
    state: Standing
    why: str


def mark(digest: str) -> str:
    """Return the banner's text for a drop-in with this digest (16 hexadecimal digits)."""
    return f"jailssh-set-up {digest}\n"


def standings(layout: Layout) -> list[ListenerState]:
    """Return what each sshd that listens on this host goes by; reads only.

    One that is started anew for each connection (socket activation) is no listener: it reads what is on disk.
    """
    with asked(layout) as questions:
        return questions.standings()


class Questions:
    """What has been asked of each sshd that listens, see :func:`asked`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._asked: list[tuple[Listener, str | JailsshError | None, Running | None]] = []

    def ask(self) -> None:
        """Begin: a connection to the first place of each, answered while something else is done."""
        for listener in listeners():
            wanted: str | JailsshError | None
            try:
                wanted = _wanted(self._layout, listener)
            except JailsshError as error:
                wanted = error
            ready = isinstance(wanted, str) and process.find_program("ssh") is not None
            self._asked.append(
                (listener, wanted, process.start(_client(*listener.places[0], _QUICK)) if ready else None)
            )

    def standings(self) -> list[ListenerState]:
        """Wait for the answers, see :func:`standings`."""
        return [_standing(self._layout, *each) for each in self._asked]

    def close(self) -> None:
        """End what still runs."""
        for _, _, first in self._asked:
            if first is not None:
                with first:
                    pass


@contextmanager
def asked(layout: Layout) -> Iterator[Questions]:
    """Ask each sshd that listens, without waiting for the answers: they take longer than all else about sshd."""
    questions = Questions(layout)
    try:
        questions.ask()
        yield questions
    finally:
        questions.close()


def listeners() -> list[Listener]:
    """Return the processes of this host's root directory and network that listen, in order of their ids."""
    found = []
    for pid in sorted(int(os.path.basename(path)) for path in glob.glob("/proc/[0-9]*")):
        with suppress(OSError):
            server = sshds.listening(pid)
            if server is not None and _is_here(pid) and (places := _places(pid)):
                found.append(Listener(pid, server, places, _unit(pid)))
    return found


def _is_here(pid: int) -> bool:
    """True unless the process is in a container: there another configuration has the same name."""
    if os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net"):
        return False
    theirs, ours = os.stat(f"/proc/{pid}/root/etc/ssh"), os.stat("/etc/ssh")
    return (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)


def _places(pid: int) -> tuple[tuple[str, int], ...]:
    """Return the addresses and ports at which the process listens (proc(5): net/tcp, net/tcp6)."""
    inodes = set()
    for path in glob.glob(f"/proc/{pid}/fd/*"):
        with suppress(OSError):
            inodes.add(os.readlink(path))
    found = []
    for table in ("tcp", "tcp6"):
        with suppress(OSError), open(f"/proc/{pid}/net/{table}", encoding="ascii") as stream:
            for line in list(stream)[1:]:
                words = line.split()
                if words[3] == _LISTEN and f"socket:[{words[9]}]" in inodes:
                    found.append(_place(words[1]))
    return tuple(found)


def _place(text: str) -> tuple[str, int]:
    address, _, port = text.partition(":")
    raw = bytes.fromhex(address)
    # The kernel prints words of 32 bits in its own order of bytes.
    words = b"".join(int.from_bytes(raw[at : at + 4], "big").to_bytes(4, sys.byteorder) for at in range(0, len(raw), 4))
    return str(ipaddress.ip_address(words)), int(port, 16)


def open_ports() -> frozenset[int]:
    """Return the TCP ports that somebody listens on in this network namespace, systemd for a socket unit perhaps."""
    found = set()
    for table in ("tcp", "tcp6"):
        with suppress(OSError), open(f"/proc/self/net/{table}", encoding="ascii") as stream:
            rows = [line.split() for line in list(stream)[1:]]
            found |= {_place(words[1])[1] for words in rows if words[3] == _LISTEN}
    return frozenset(found)


def _unit(pid: int) -> str:
    with suppress(OSError), open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            last = line.rstrip("\n").rpartition("/")[2]
            if last.endswith(".service"):
                return last
    return ""


def _standing(
    layout: Layout, listener: Listener, wanted: str | JailsshError | None, first: Running | None
) -> ListenerState:
    if isinstance(wanted, JailsshError):
        return ListenerState(listener, Standing.UNKNOWN, f"cannot evaluate its configuration: {wanted}")
    if first is not None and (heard := _heard(listener, first)) is not None:
        if wanted == heard:
            return ListenerState(listener, Standing.RIGHT, "uses the configuration on disk")
        return ListenerState(listener, Standing.OLD, "uses an older configuration than the one on disk")
    return _by_times(layout, listener)


def _wanted(layout: Layout, listener: Listener) -> str | None:
    """Return the digest that the listener would show had it read what is on disk; "" for none, None if it is masked."""
    options = [word for option in listener.server.options for word in ("-o", option)]
    values = sshd.effective(PROBE, listener.server.config or sshd.main_config(layout), options)
    banner = values.get("banner", ["none"])[0]
    if os.path.dirname(banner) != layout.sshd_marks:
        return "" if banner == "none" else None
    data = install.read_optional(banner)
    found = _MARK.search((data or b"").decode("ascii", "replace"))
    return found[1] if found else None


def _heard(listener: Listener, first: Running) -> str | None:
    """Return the digest that the running process shows, "" if it shows none, None if that cannot be found out.

    ``first``: the client that asks at the first of its places.
    """
    for place in listener.places:
        with first if place is listener.places[0] else process.start(_client(*place, _QUICK)) as client:
            said = client.finish(timeout=_TIMEOUT).stderr
        if any(words in said for words in _TOO_QUICK):
            said = process.run(_client(*place, []), check=False, timeout=_TIMEOUT).stderr
        if found := _MARK.search(said):
            return found[1]
        # It came to the question who it is, so a banner would have been sent before.
        if "Permission denied" in said:
            return ""
    return None


def _client(address: str, port: int, more: Sequence[str]) -> list[str]:
    """Return the command that connects to where somebody listens, from this host itself; ``more``: options."""
    place = ipaddress.ip_address(address)
    source = "127.0.0.1" if place.version == 4 else "::1"
    options = {
        "BatchMode": "yes", "PreferredAuthentications": "none", "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null", "GlobalKnownHostsFile": "/dev/null", "LogLevel": "INFO",
        "BindAddress": source, "ConnectTimeout": "5", "IdentitiesOnly": "yes", "IdentityFile": "none",
        "ProxyCommand": "none",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    target = source if place.is_unspecified else address
    return ["ssh", "-F", "none", "-T", *words, *more, "-p", str(port), "-l", PROBE, target, "true"]


def _by_times(layout: Layout, listener: Listener) -> ListenerState:
    """Compare when the process has read its configuration with when the drop-in was changed."""
    try:
        changed = os.stat(layout.sshd_drop_in).st_ctime
    except FileNotFoundError:
        changed = os.stat(os.path.dirname(layout.sshd_drop_in)).st_ctime
    if (read := read_at(listener.pid)) is not None:
        state = Standing.RIGHT if read > changed + SLACK else Standing.OLD
        return ListenerState(
            listener, state, f"pid file is {'newer' if state == Standing.RIGHT else 'older'} than the drop-in"
        )
    if _started_at(listener.pid) > changed + 2:
        return ListenerState(listener, Standing.RIGHT, "started after the drop-in was written")
    return ListenerState(
        listener, Standing.UNKNOWN, "started before the drop-in was written; which configuration it uses is unknown"
    )


def read_at(pid: int) -> float | None:
    """Return when the process has read its configuration, by its pid file, in seconds since 1970; None if unknown."""
    for path in _PID_FILES:
        with suppress(OSError, ValueError), open(path, encoding="ascii") as stream:
            if int(stream.read(32)) == pid:
                return os.fstat(stream.fileno()).st_mtime
    return None


def _started_at(pid: int) -> float:
    ticks = process.start_time(pid) or 0
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return boot + ticks / os.sysconf("SC_CLK_TCK")


def have_read_again(layout: Layout, seconds: float = 10.0) -> list[str]:
    """Have every listener read its configuration, and wait until each is seen to go by what is on disk.

    Returns lines about what was done.  Raises :class:`HostError` for one that still goes by an older configuration
    when the time is over; one that nobody can tell about is only told of.
    """
    lines = [sshd.reload()]
    left = _wait(layout, seconds / 2)
    for standing in left:
        if standing.state == Standing.OLD:
            lines.append(_reload_one(standing.listener))
    left = _wait(layout, seconds / 2) if left else []
    if old := [standing for standing in left if standing.state == Standing.OLD]:
        names = ", ".join(standing.listener.name() for standing in old)
        units = " ".join(sorted({standing.listener.unit for standing in old} - {""})) or "ssh"
        hint = f"systemctl restart {units}, or end the process and start it again"
        raise HostError("sshd", f"{old[0].why}, also after a reload: {names}", hint=hint)
    return [*lines, *(f"note: {standing.listener.name()}: {standing.why}" for standing in left)]


def _wait(layout: Layout, seconds: float) -> Sequence[ListenerState]:
    """Return those that are not right once all are, or once the time is over or nothing is left to wait for."""
    end, pause = time.monotonic() + seconds, 0.1
    while True:
        left = [standing for standing in standings(layout) if standing.state != Standing.RIGHT]
        if time.monotonic() >= end or not any(standing.state == Standing.OLD for standing in left):
            return left
        # Longer each time: an sshd from 9.8 on shuts out who asks too often without logging in.
        time.sleep(pause)
        pause *= 2


def _reload_one(listener: Listener) -> str:
    """Have one listener read its configuration again, by its unit or by a signal."""
    if listener.unit and process.has_systemd():
        done = process.run(["systemctl", "reload", listener.unit], check=False, timeout=60)
        if done.code == 0:
            return f"reloaded {listener.unit}"
    if sshds.listening(listener.pid) is None:
        return f"{listener.name()} has ended"
    os.kill(listener.pid, signal.SIGHUP)
    return f"sent SIGHUP to {listener.name()}"
