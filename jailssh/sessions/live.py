"""The sessions that run now, from one look at all processes: whose, by which key, in which jail, what is in each."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from jailssh.core.errors import JailsshError
from jailssh.core.names import escape
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.services.processes import FIRST, Seen, depth, link, look_at, look_at_all, read
from jailssh.sessions.connections import Connections
from jailssh.sessions.programs import Programs

_MARK = "/memfd:jailssh "
_GONE = " (deleted)"
_ENTERED = "@"
_ENTER_WORDS = 4
"""Of the command line by which a command is run in a jail that is entered."""
_ID = re.compile(r"[0-9a-f]{16}\Z")
_COMMAND_BYTES = 300
_ORIGINAL = b"SSH_ORIGINAL_COMMAND="


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What the login program says of its session, by the name of a file that only its outer half has.

    ``entered``: by ``jailssh enter``, and not by a login.
    """

    session: str
    serial: str
    key: str
    jail: str
    entered: bool = False


@dataclass(frozen=True, kw_only=True)
class Running:
    """A session that runs.  ``outer``: its process outside; ``first``: its first one inside; ``all``: those inside.

    ``server``: sshd's process of the connection, which other sessions can have too; None where sshd has not started
    it.  ``mark``: None for a session of a login program that left none.
    """

    outer: Seen
    first: Seen
    inside: tuple[Seen, ...]
    server: Seen | None
    mark: Mark | None
    lingers: bool

    @property
    def name(self) -> str:
        """The session's id, as its records in the journal have it; "" where it is not known."""
        return self.mark.session if self.mark else ""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A jail that outlives its logins: its keeper, and what was left in the background there."""

    keeper: Seen
    inside: tuple[Seen, ...]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """All sessions, kept jails, sshd's processes with an account's rights, and the processes that are none of these."""

    sessions: tuple[Running, ...]
    kept: tuple[Kept, ...]
    servers: tuple[Seen, ...]
    others: tuple[Seen, ...]


def take(layout: Layout) -> Picture:
    """Look at all processes of this host."""
    return _Look(layout).picture()


def is_still(running: Running) -> bool:
    """True if the processes with these numbers are those of this session: in the same places, with its mark."""
    pairs = [(each, look_at(each.pid)) for each in (running.first, running.outer, running.server) if each]
    return all(now is not None and now.is_like(then) for then, now in pairs) and (
        running.mark is None or mark_of(running.outer.pid) == running.mark
    )


def mark_of(pid: int, usual: str = "6") -> Mark | None:
    """Return what the outer half with this number says of its session; ``usual``: the descriptor to try first."""
    if (found := _mark_at(pid, usual)) is not None:
        return found
    with suppress(OSError):
        return next((found for name in os.listdir(f"/proc/{pid}/fd") if (found := _mark_at(pid, name))), None)
    return None


class _Look:
    def __init__(self, layout: Layout) -> None:
        self._all = look_at_all()
        self._programs = Programs(layout)
        self._depth = depth()
        self._children: dict[int, list[Seen]] = {}
        for seen in self._all.values():
            if seen.uid:
                self._children.setdefault(seen.parent, []).append(seen)

    def picture(self) -> Picture:
        halves = [seen for seen in self._all.values() if seen.bounded and seen.uid and self._programs.is_login(seen)]
        keepers = [each for each in halves if self._inside(each) and each.leads and each.numbers[-1] == FIRST]
        inner = {each.pid for each in halves if self._inside(each)}
        kept_pids = {each.pid for each in keepers}
        sessions = []
        known: set[int] = set(kept_pids)
        for outer in halves:
            if self._inside(outer):
                continue
            known.add(outer.pid)
            for first in self._children.get(outer.pid, ()):
                if first.pid in kept_pids or first.pid not in inner:
                    continue
                sessions.append(self._session(outer, first))
                known.update(each.pid for each in sessions[-1].inside)
        kept = []
        for keeper in keepers:
            rest = tuple(each for each in self._below(keeper) if each.pid not in known)
            known.update(each.pid for each in rest)
            kept.append(Kept(keeper=keeper, inside=(keeper, *rest)))
        people = [each for each in self._all.values() if any(each.uids) and each.pid not in known]
        servers = [each for each in people if self._is_server(each)]
        serving = {each.pid for each in servers}
        others = tuple(each for each in people if each.pid not in serving)
        return Picture(sessions=tuple(sessions), kept=tuple(kept), servers=tuple(servers), others=others)

    def _inside(self, seen: Seen) -> bool:
        return len(seen.numbers) == self._depth + 1

    def _session(self, outer: Seen, first: Seen) -> Running:
        server = self._all.get(outer.parent)
        return Running(
            outer=outer, first=first, inside=(first, *self._below(first)),
            server=server if server and self._is_server(server) else None,
            mark=mark_of(outer.pid), lingers=first.numbers[-1] != FIRST,
        )  # fmt: skip

    def _is_server(self, seen: Seen) -> bool:
        """True for what a process of root's has started of sshd for an account: anybody can start that program."""
        parent = self._all.get(seen.parent)
        return (
            seen.is_of_one
            and len(seen.numbers) == self._depth
            and parent is not None
            and not any(parent.uids)
            and self._programs.is_sshd(seen)
        )

    def _below(self, first: Seen) -> list[Seen]:
        found, rest = [], [first.pid]
        while rest:
            below = [each for each in self._children.get(rest.pop(), ()) if self._inside(each)]
            found += below
            rest += [each.pid for each in below]
        return found


def _mark_at(pid: int, name: str) -> Mark | None:
    leads = link(pid, f"fd/{name}")
    words = leads[len(_MARK) :].removesuffix(_GONE).split(" ") if leads.startswith(_MARK) else ()
    if len(words) != 4 or not _ID.match(words[0]):
        return None
    jail = words[3].removeprefix(_ENTERED)
    return Mark(session=words[0], serial=words[1], key=words[2], jail=jail, entered=jail != words[3])


@dataclass(frozen=True, kw_only=True)
class Told:
    """What people are told of a session.  ``command``: what was asked for, None for an interactive login.

    ``since``: seconds since 1970.  ``cpu``: seconds of all that runs inside and of what has ended and was waited for
    there.  ``memory``: bytes, without pages of files.  ``sent`` and ``received``: bytes of the connection, which other
    sessions can have too; -1 where nobody tells.
    """

    session: str
    user: str
    uid: int
    key: str
    jail: str
    plan: str
    pid: int
    pids: tuple[int, ...]
    command: str | None
    peer: str
    since: float
    cpu: float
    memory: int
    sent: int
    received: int
    server: int
    lingers: bool
    entered: bool


def told(picture: Picture, layout: Layout) -> list[Told]:
    """Return what people are told of each session, the oldest first."""
    names = names_of({each.outer.uid for each in picture.sessions})
    connections = Connections()
    by_server = {
        each.server.pid: connections.of(each.server.parent) for each in picture.sessions if each.server is not None
    }
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    ticks = os.sysconf("SC_CLK_TCK")
    found = []
    for each in picture.sessions:
        outer, server = each.outer, each.server
        connection = by_server.get(server.pid) if server else None
        began, _ = _times(outer.pid)
        found.append(
            Told(
                session=each.name, user=names.get(outer.uid, str(outer.uid)), uid=outer.uid,
                key=each.mark.key if each.mark else "", jail=each.mark.jail if each.mark else "",
                plan=each.mark.serial if each.mark else "",
                pid=outer.pid, pids=tuple(one.pid for one in each.inside),
                command=_command(outer.pid, layout, entered=each.mark is not None and each.mark.entered),
                peer=connection.peer if connection else "", since=boot + began / ticks,
                cpu=sum(_times(one.pid)[1] for one in each.inside) / ticks,
                memory=sum(one.memory for one in each.inside),
                sent=connection.sent if connection else -1, received=connection.received if connection else -1,
                server=server.pid if server else 0, lingers=each.lingers,
                entered=each.mark is not None and each.mark.entered,
            )
        )  # fmt: skip
    return sorted(found, key=lambda each: each.since)


@dataclass(frozen=True, kw_only=True)
class ToldOfConnection:
    """What people are told of a connection without a session, by which sshd may forward ports; see :class:`Told`."""

    user: str
    uid: int
    pid: int
    peer: str
    since: float
    sent: int
    received: int


def told_of_connections(picture: Picture) -> list[ToldOfConnection]:
    """Return the connections by which no session runs: those for ports, and those that wait for one; oldest first."""
    serving = {each.server.pid for each in picture.sessions if each.server}
    waiting = [each for each in picture.servers if each.pid not in serving]
    names, connections = names_of({each.uid for each in waiting}), Connections()
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    found = []
    for each in waiting:
        connection = connections.of(each.parent) or connections.of(each.pid)
        since = boot + _times(each.pid)[0] / os.sysconf("SC_CLK_TCK")
        found.append(
            ToldOfConnection(
                user=names.get(each.uid, str(each.uid)), uid=each.uid, pid=each.pid,
                peer=connection.peer if connection else "", since=since,
                sent=connection.sent if connection else -1, received=connection.received if connection else -1,
            )
        )  # fmt: skip
    return sorted(found, key=lambda each: each.since)


@dataclass(frozen=True, kw_only=True)
class ToldOfKept:
    """What people are told of a jail that outlives its logins; ``pids``: what is in the background, keeper first."""

    user: str
    uid: int
    pids: tuple[int, ...]


def told_of_kept(picture: Picture) -> list[ToldOfKept]:
    """Return what is in the background of jails that outlive their logins."""
    names = names_of({each.keeper.uid for each in picture.kept})
    return [
        ToldOfKept(
            user=names.get(each.keeper.uid, str(each.keeper.uid)), uid=each.keeper.uid,
            pids=tuple(one.pid for one in each.inside),
        )
        for each in picture.kept
    ]  # fmt: skip


def _times(pid: int) -> tuple[int, int]:
    """Return when a process began and what it and its children have used, in ticks (proc_pid_stat(5))."""
    words = read(pid, "stat").rpartition(b")")[2].split()
    try:
        return int(words[19]), sum(map(int, words[11:15]))
    except (IndexError, ValueError):
        return 0, 0


def _command(pid: int, layout: Layout, *, entered: bool) -> str | None:
    """Return what was asked for: sshd has told it to the outer half, whose memory nobody else can change."""
    words = read(pid, "cmdline").split(b"\0")
    if entered:
        return escape(words[_ENTER_WORDS - 1], _COMMAND_BYTES) if len(words) > _ENTER_WORDS else None
    command = words[2] if len(words) > 2 and words[1] == b"-c" else None
    if command is None or command == layout.login_program.encode():  # as ForceCommand
        entries = [entry for entry in read(pid, "environ").split(b"\0") if entry.startswith(_ORIGINAL)]
        command = entries[-1][len(_ORIGINAL) :] if entries else None
    return None if command is None else escape(command, _COMMAND_BYTES)


def names_of(uids: Iterable[int]) -> Mapping[int, str]:
    """Return a name of each account: the local one, else what the name service says."""
    wanted = set(uids)
    local = {uid: name for name, uid in accounts.local_uids().items() if uid in wanted} if wanted else {}
    for uid in wanted - set(local):
        with suppress(JailsshError):  # a directory that is away: the number says it too
            if entry := accounts.find_uid(uid):
                local[uid] = entry.name
    return local
