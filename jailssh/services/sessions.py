"""End what an account has open: its jails, and the connections of sshd that could open further ones."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from jailssh.host import accounts, process
from jailssh.host.paths import Layout
from jailssh.services.processes import DELETED, FIRST, SSHD, depth, link, look_at

_ROUNDS = 20
_PATIENCE = 1.0
_AUTH = b"SSH_USER_AUTH="
_MOST_TOLD = 1 << 20
_F_OFD_GETLK = 36
_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of fcntl(2), with the padding at its end."""
_SLACK = 0.03
"""Seconds: the start of a process is told in ticks, and the time of a file as of the last tick."""


@dataclass(frozen=True)
class _SessionProcess:
    """One to be ended, perhaps: ``is_jail`` for the outer half of a jail, ``is_server`` for a process of sshd's.

    ``is_keeper``: the first process of a jail that outlives its logins; with it all in that jail ends.
    """

    pid: int
    parent: int
    is_jail: bool = False
    is_server: bool = False
    is_keeper: bool = False


@dataclass(frozen=True)
class Ended:
    """What was ended: sessions, and jails that outlive their logins; ``all``: whether nothing of them is left."""

    sessions: int
    kept: int
    all: bool


def places_taken(layout: Layout, uid: int, most: int, key: str = "") -> int:
    """Return how many of ``most`` sessions the account has open, with ``key`` of this named key.

    A session's place is a lock on one byte of a file (``login/slot.c``); whoever asks takes none.
    """
    taken, at = 0, 0
    with suppress(FileNotFoundError), open(f"{layout.run}/sessions/{uid}{f'.{key}' if key else ''}", "rb") as file:
        while at < most:
            question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, at, most - at, 0)
            kind, _, start, length, _ = _FLOCK.unpack(fcntl.fcntl(file, _F_OFD_GETLK, question))
            if kind == fcntl.F_UNLCK:
                break
            taken, at = taken + max(length, 1), start + max(length, 1)
    return min(taken, most)


def end_sessions(uid: int, login_program: str, stays: Callable[[str], bool] | None = None) -> Ended:
    """Kill the login programs and sshd's processes of ``uid``; the kernel then ends every process of their jails.

    ``stays``: says of what sshd tells of a login (:func:`told_of`, "" where nothing is known for certain) whether that
    session stays; so does its connection then.  A connection without a session does not: it could open one.  A jail
    that outlives its logins does not either, nor what is in it: nobody can tell who left what there.

    A process is killed by a descriptor of its own (pidfd_open(2)) after a second look, so never one that has got its
    number since.
    """
    jails: set[int] = set()
    kept: set[int] = set()
    for _ in range(_ROUNDS):  # what begins while others end
        found = _to_end(uid, login_program, stays)
        if not found:
            return Ended(len(jails), len(kept), True)
        jails.update(each.pid for each in found if each.is_jail)
        kept.update(each.pid for each in found if each.is_keeper)
        _kill(found, lambda pid: set(_look(pid, uid, login_program)))
    return Ended(len(jails), len(kept), not _to_end(uid, login_program, stays))


def end_kept(uid: int, login_program: str) -> bool:
    """End the jails of ``uid`` that outlive their logins, with all in them; True if none is left."""
    for _ in range(_ROUNDS):
        found = [each for each in _all(uid, login_program) if each.is_keeper]
        if not found:
            return True
        _kill(found, lambda pid: set(_look(pid, uid, login_program)))
    return False


def end_processes(uid: int) -> bool:
    """Kill every process with this real uid; True if none is left."""
    for _ in range(_ROUNDS):
        pids = accounts.processes_of(uid)
        if not pids:
            return True
        _kill([_SessionProcess(pid, 0) for pid in pids], partial(_if_of, uid))
    return not accounts.processes_of(uid)


def _if_of(uid: int, pid: int) -> set[_SessionProcess]:
    return {_SessionProcess(pid, 0)} if pid in accounts.processes_of(uid) else set()


def _kill(found: Iterable[_SessionProcess], look: Callable[[int], set[_SessionProcess]]) -> None:
    fds = []
    for each in found:
        with suppress(OSError):
            fd = os.pidfd_open(each.pid)
            fds.append(fd)
            if each in look(each.pid):
                signal.pidfd_send_signal(fd, signal.SIGKILL)
    process.wait_ended(fds, _PATIENCE)
    for fd in fds:
        os.close(fd)


def _to_end(uid: int, login_program: str, stays: Callable[[str], bool] | None) -> list[_SessionProcess]:
    found = _all(uid, login_program)
    if stays is None:
        return found
    kept = {each.pid for each in found if each.is_jail and stays(told_of(each.pid, uid))}
    ended = {each.parent for each in found if each.is_jail and each.pid not in kept}
    serving = {each.parent for each in found if each.pid in kept} - ended
    return [each for each in found if each.is_keeper or (each.is_jail and each.pid not in kept)
            or (each.is_server and each.pid not in serving)]  # fmt: skip


def _all(uid: int, login_program: str) -> list[_SessionProcess]:
    return [each for name in os.listdir("/proc") if name.isdecimal() for each in _look(int(name), uid, login_program)]


def told_of(pid: int, uid: int) -> str:
    """Return what sshd tells of the login of the process (``ExposeAuthInfo`` in sshd_config(5)), "" where it is unsure.

    Its file is the account's own, so it counts only as it was before the process began: nobody can set back the time
    of its last change (inode(7): ctime).
    """
    try:
        with open(f"/proc/{pid}/environ", "rb") as stream:
            names = [entry[len(_AUTH) :] for entry in stream.read().split(b"\0") if entry.startswith(_AUTH)]
        with open(f"/proc/{pid}/stat", "rb") as stream:
            ticks = int(stream.read().rpartition(b")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        fd = os.open(names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode) or info.st_uid != uid or info.st_ctime > time.time() - age + _SLACK:
                return ""
            return file.read(_MOST_TOLD).decode("utf-8", "surrogateescape")
    except (OSError, ValueError, IndexError):
        return ""


def _look(pid: int, uid: int, login_program: str) -> Iterator[_SessionProcess]:
    """Yield the process if it is one of those to be ended."""
    seen = look_at(pid)
    # The owner of the directory is root for a process that is not dumpable, so the ids are what counts.
    if seen is None or seen.uids != (uid,) * 4:
        return
    program = link(pid, "exe").removesuffix(DELETED)
    if program == login_program:
        # The jail's first process has a number in a second namespace; it ends with the outer half.  A keeper is the
        # first of its namespace, in a session of its own.
        outside = len(seen.numbers) == depth()
        keeper = not outside and seen.leads and seen.numbers[-1] == FIRST
        yield _SessionProcess(pid, seen.parent, is_jail=outside, is_keeper=keeper)
    elif os.path.basename(program) in SSHD:
        yield _SessionProcess(pid, seen.parent, is_server=True)
