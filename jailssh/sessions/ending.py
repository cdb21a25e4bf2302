"""End sessions: those of accounts, one by its id, those of a named key; each within a second, whatever runs in it.

The first process of a session is killed, and the kernel kills all in its pid namespace with it: no signal can be
ignored and no loop of fork(2) be faster.  The outer half writes the record of the end, or is killed too where it takes
long.  A connection ends with its last session, since it could open another one.  Every process is killed by a
descriptor of its own after a second look (pidfd_open(2)), so never one that has got its number since.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jailssh.host.paths import Layout
from jailssh.host.process import descriptor_of, wait_ended
from jailssh.services.processes import Seen, look_at
from jailssh.sessions import live
from jailssh.sessions.live import Picture, Running

_ROUNDS = 20
_AT_ONCE = 250
"""So many processes are held at a time: there are not more descriptors to be had."""
_WORD, _PASSING, _RECORD, _END = 0.3, 0.2, 0.3, 1.0
"""Seconds for what is told to users, for sshd to pass it on, for the outer halves' records, for the end of what has
been killed."""
_STANDARD_ERROR = 2


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to end: all of these accounts with the connections that wait and what is in the background; of the
    others the sessions for which ``chosen`` is true.
    """

    uids: frozenset[int] = frozenset()
    chosen: Callable[[Running], bool] = lambda _: False

    def has(self, session: Running) -> bool:
        """True if the session is to end."""
        return session.outer.uid in self.uids or self.chosen(session)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What was ended: the sessions; connections without one; of which accounts something in the background.

    ``left``: of whom some goes on.
    """

    sessions: tuple[Running, ...]
    connections: tuple[Seen, ...]
    kept: frozenset[int]
    left: frozenset[int]


def end(layout: Layout, wanted: Wanted, message: str = "") -> Ended:
    """End what is wanted, until none of it is left or new ones come too fast; ``message``: told to its users before."""
    sessions: dict[tuple[int, int], Running] = {}
    alone: dict[int, Seen] = {}
    kept: set[int] = set()
    picture = live.take(layout)
    for round_ in range(_ROUNDS):  # what begins while others end
        found = [each for each in picture.sessions if wanted.has(each)]
        keepers = [each.keeper for each in picture.kept if each.keeper.uid in wanted.uids]
        servers = _servers(picture, found, wanted)
        if not found and not keepers and not servers:
            break
        if message and round_ == 0:
            _tell(found, message)
        sessions.update({(each.outer.pid, each.outer.uid): each for each in found})
        kept.update(each.uid for each in keepers)
        serving = {each.server.pid for each in sessions.values() if each.server}
        alone.update({each.pid: each for each in servers if each.pid not in serving})
        ending = {each.pid for each in servers}
        for at in range(0, len(found), _AT_ONCE):
            _end_sessions(found[at : at + _AT_ONCE], ending)
        _end_others([*keepers, *servers])
        picture = live.take(layout)
    left = {each.outer.uid for each in picture.sessions if wanted.has(each)}
    left |= {each.keeper.uid for each in picture.kept if each.keeper.uid in wanted.uids}
    left |= {each.uid for each in picture.servers if each.uid in wanted.uids}
    return Ended(
        sessions=tuple(sessions.values()), connections=tuple(alone.values()), kept=frozenset(kept), left=frozenset(left)
    )


def _servers(picture: Picture, found: Iterable[Running], wanted: Wanted) -> list[Seen]:
    """Return sshd's processes that end: an account's, and those all of whose sessions do."""
    ending = {each.server.pid for each in found if each.server}
    going_on = {each.server.pid for each in picture.sessions if each.server and not wanted.has(each)}
    return [each for each in picture.servers if each.uid in wanted.uids or each.pid in ending - going_on]


def _end_sessions(found: Iterable[Running], servers: Container[int]) -> None:
    """Kill the first process of each, after a moment for its record the outer half, and those of ``servers``."""
    held = [each for one in found if (each := _held(one)) is not None]
    try:
        _kill([each.first for each in held])
        wait_ended([each.outer for each in held], _RECORD)
        _kill([each.outer for each in held])
        _kill([each.server for each in held if each.running.server and each.running.server.pid in servers])
        wait_ended([fd for each in held for fd in (each.first, each.outer)], _END)
    finally:
        for each in held:
            each.close()


@dataclass(frozen=True)
class _Held:
    """Descriptors of a session's processes, all of which were seen to belong together when they were open."""

    running: Running
    first: int
    outer: int
    server: int

    def close(self) -> None:
        for fd in (self.first, self.outer, self.server):
            if fd >= 0:
                os.close(fd)


def _held(running: Running) -> _Held | None:
    """Open the processes of a session, None where it is not that session any more."""
    fds = [_opened(each.pid) if each else -1 for each in (running.first, running.outer, running.server)]
    held = _Held(running, *fds)
    if held.first >= 0 and held.outer >= 0 and live.is_still(running):
        return held
    held.close()
    return None


def _opened(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1


def _end_others(found: Sequence[Seen]) -> None:
    """Kill keepers and processes of sshd's, which are known by whose they are and what they do."""
    for at in range(0, len(found), _AT_ONCE):
        fds = []
        for each in found[at : at + _AT_ONCE]:
            if (fd := _opened(each.pid)) >= 0:
                fds.append(fd)
                if (now := look_at(each.pid)) is not None and now.is_like(each):
                    _kill([fd])
        wait_ended(fds, _END)
        for fd in fds:
            os.close(fd)


def _kill(fds: Iterable[int]) -> None:
    for fd in fds:
        if fd >= 0:
            with suppress(OSError):
                signal.pidfd_send_signal(fd, signal.SIGKILL)


def _tell(found: Sequence[Running], message: str) -> None:
    """Write to what the sessions have as standard error; who takes nothing is not waited for."""
    # A terminal that its user has stopped can still block: the thread is left behind then.
    thread = threading.Thread(target=_write_all, args=(found, message), daemon=True)
    thread.start()
    thread.join(_WORD)
    time.sleep(_PASSING)


def _write_all(found: Iterable[Running], message: str) -> None:
    line = f"\r\njailssh: session ended by the administrator: {message}\r\n".encode("utf-8", "replace")
    for each in found:
        with suppress(OSError):
            process = os.pidfd_open(each.outer.pid)
            try:
                if live.is_still(each):
                    _write(descriptor_of(process, _STANDARD_ERROR), line)
            finally:
                os.close(process)


def _write(fd: int, line: bytes) -> None:
    try:
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        if not any(events & select.POLLOUT for _, events in poll.poll(0)):
            return
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            with socket.socket(fileno=os.dup(fd)) as sending:
                sending.send(line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        else:
            os.write(fd, line[: select.PIPE_BUF])
    finally:
        os.close(fd)
