"""Trees that are kept: sets of namespaces that a first process holds, with a name, for several commands.

A record of root's below ``/run/jailssh/trees`` says which process that is: its number, when it was started, in which
boot, and what the kernel calls it (the inode of its pidfd), so that another one that has the number later is never
taken for it.  What holds a tree is started by ``jailssh-run``, or by who asks for a tree with a first process of its
own, and registered before it goes on.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, asdict, dataclass, field, replace

from jailssh.core.closed import Word
from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import escape
from jailssh.files import fs, several
from jailssh.host import process
from jailssh.host.paths import Layout
from jailssh.plan.ops import Record
from jailssh.services import joining

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
_LIMIT = 1 << 16
PATIENCE = 10.0
"""Seconds until what holds a tree, and has been told to end, is killed; it gives what runs in there half of them."""


class Kind(Word):
    """What a kept tree is for."""

    SESSION = "session"
    SYSTEM = "system"


@dataclass(frozen=True)
class Kept:
    """A record.  ``id``: a number while it lasts.  ``since``: seconds since the epoch.  ``facts``: its kind's own."""

    _: KW_ONLY
    name: str
    id: int
    kind: Kind
    pid: int
    start: int
    boot: str
    inode: int
    since: int
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def joins(self) -> Record:
        """What a plan has of it: the process whose namespaces a command enters."""
        return Record("join", (str(self.pid), str(self.start)))


def is_name(name: str) -> bool:
    """True if a kept tree can have that name."""
    return bool(_NAME.match(name)) and ".." not in name


def check_name(name: str, what: str = "session") -> str:
    """Return ``name`` if it can name a kept tree; else :class:`UsageError`."""
    if not is_name(name):
        raise UsageError(f"{what} {escape(name)[:80]!r}", "is no name of letters, digits, '_', '.', '-', at most 63")
    return name


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold the registry: nobody else registers or takes away meanwhile."""
    fs.ensure_dir(layout.kept, 0o700)
    with fs.lock(f"{layout.kept}/.lock"):
        yield


def entries(layout: Layout) -> list[Kept]:
    """Return all records by name, of trees that are held or were; :class:`HostError` for one that is none of root's."""
    if not os.path.isdir(layout.kept):
        return []
    found = several.read_all_trusted(layout.kept, lambda name: bool(_NAME.match(name)), _LIMIT)
    return [_read(path, data) for path, data in found.items()]


def find(layout: Layout, name: str) -> Kept | None:
    """Return the record of a name, of a tree that is held or was; :class:`HostError`."""
    path = f"{layout.kept}/{name}"
    return _read(path, fs.read_trusted(path, _LIMIT)) if os.path.lexists(path) else None


def _read(path: str, data: bytes) -> Kept:
    try:
        row = json.loads(data)
        facts = {str(key): str(value) for key, value in row.pop("facts").items()}
        kept = Kept(facts=facts, **row | {"kind": Kind(row["kind"])})
        if kept.name != os.path.basename(path) or any(
            type(number) is not int or number < 1 for number in (kept.id, kept.pid, kept.start)
        ):
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise HostError(f"file {escape(path)}", "is no record of a tree", hint="remove it") from error
    return kept


@contextmanager
def opened(kept: Kept) -> Iterator[int | None]:
    """Open the process that holds a tree (pidfd_open(2)); None where it has ended, or is another by that number."""
    fd = _open(kept)
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def _open(kept: Kept) -> int | None:
    if kept.boot != process.boot_id():
        return None
    try:
        fd = os.pidfd_open(kept.pid)
    except OSError:
        return None
    # Looked at once it is pinned: until it has ended its number leads to nothing else.
    if os.fstat(fd).st_ino == kept.inode and process.start_time(kept.pid) == kept.start and not _has_ended(fd):
        return fd
    os.close(fd)
    return None


def _has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def is_held(kept: Kept) -> bool:
    """True while the process that holds it lives; what is not has been killed, or was before a reboot."""
    with opened(kept) as fd:
        return fd is not None


@contextmanager
def space(kept: Kept, kind: str) -> Iterator[str]:
    """Yield a path to a namespace (as in ``/proc/PID/ns``) of what holds a tree; :class:`HostError` where it has ended.

    It leads to nothing that has the number later.
    """
    fd = -1
    try:
        with suppress(OSError):
            fd = os.open(f"/proc/{kept.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
        if fd < 0 or not is_held(kept):  # looked at once it is open
            raise HostError(f"{kept.kind} {kept.name}", "has ended")
        yield f"/proc/{os.getpid()}/fd/{fd}"
    finally:
        if fd >= 0:
            os.close(fd)


def register(layout: Layout, name: str, kind: Kind, pid: int, facts: Mapping[str, str]) -> Kept:
    """Write the record of a tree that ``pid`` holds, which waits for that; :func:`locked` is for the caller.

    A record of what is held no more is replaced; :class:`HostError` where a tree of that name is held.
    """
    before = find(layout, name)
    if before is not None and is_held(before):
        raise HostError(f"{before.kind} {name}", f"is there already, held by process {before.pid}")
    others = {each.id for each in entries(layout) if each.name != name}
    start = process.start_time(pid)
    try:
        fd = os.pidfd_open(pid)
    except OSError as error:
        raise HostError(f"{kind} {name}", f"process {pid} has ended") from error
    inode = os.fstat(fd).st_ino
    os.close(fd)
    kept = Kept(
        name=name, id=next(number for number in range(1, len(others) + 2) if number not in others), kind=kind, pid=pid,
        start=start or 0, boot=process.boot_id(), inode=inode, since=int(time.time()), facts=dict(facts),
    )  # fmt: skip
    if not is_held(kept):
        raise HostError(f"{kind} {name}", f"process {pid} has ended")
    _write(layout, kept)
    return kept


def _write(layout: Layout, kept: Kept) -> None:
    fs.atomic_write(f"{layout.kept}/{kept.name}", json.dumps(asdict(kept), sort_keys=True).encode() + b"\n", 0o600)


def change(layout: Layout, kept: Kept, facts: Mapping[str, str]) -> None:
    """Write other facts of a tree that is held into its record; :func:`locked` is for the caller."""
    _write(layout, replace(kept, facts={**kept.facts, **facts}))


def hold(layout: Layout, name: str, kind: Kind, plan: bytes, facts: Mapping[str, str]) -> Kept:
    """Have ``jailssh-run`` make and hold what a plan with ``hold`` says; :func:`locked` is for the caller.

    :class:`HostError` where it has not become one, which it says itself on standard error; nothing is left then.
    """
    made: list[Kept] = []
    code = joining.hold(layout.run_program, plan, lambda pid: made.append(register(layout, name, kind, pid, facts)))
    if code or not made:
        forget(layout, name)
        refused = HostError(f"{kind} {name}", "could not be begun")
        refused.exit_code = joining.REFUSED
        raise refused
    return made[0]


def join_groups(kept: Kept) -> None:
    """Enter the control groups of what holds a tree, whose limits are ours then too; :class:`HostError`."""
    try:
        folders = joining.groups_of(kept.pid)
    except (FileNotFoundError, ProcessLookupError):
        return  # it has ended, which who enters its namespaces will find
    joining.enter_groups(folders)


def end(layout: Layout, kept: Kept, *, number: int = signal.SIGTERM, patience: float = PATIENCE) -> bool:
    """End what holds a tree and all that runs in it, and take the record away; :func:`locked` is for the caller.

    It is asked by signal ``number``, and killed after ``patience`` seconds.  False if it had to be, or was gone.
    Nothing is unmounted and nothing removed: the mounts are its namespace's own and end with it.
    """
    ended = False
    with opened(kept) as fd:
        if fd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)
                signal.pidfd_send_signal(fd, signal.SIGCONT)  # one that was stopped would learn of it too late
            process.wait_ended([fd], patience)
            ended = _has_ended(fd)
            if not ended:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
                process.wait_ended([fd], patience)
                if not _has_ended(fd):
                    raise HostError(f"{kept.kind} {kept.name}", f"process {kept.pid} does not end")
    forget(layout, kept.name)
    return ended


def forget(layout: Layout, name: str) -> None:
    """Take the record of a tree that is held no more away; absent is fine."""
    fs.remove_file(f"{layout.kept}/{name}")


def processes() -> Counter[str]:
    """Return how many processes there are in each namespace of processes, for :func:`count_in`."""
    return Counter(space for pid in os.listdir("/proc") if pid.isdecimal() and (space := _space_of(pid)))


def count_in(kept: Kept, counted: Counter[str]) -> int:
    """Return how many of the processes that were counted are in a tree, with what holds it."""
    return counted[_space_of(str(kept.pid))]


def _space_of(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
