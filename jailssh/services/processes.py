"""Processes of this host: whose they are, what they run, and which of an account in a jail are in none."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jailssh.core.names import is_number
from jailssh.host.paths import Layout
from jailssh.services.sessions import SSHD

DELETED = " (deleted)"
"""What proc(5) puts behind a program whose file is gone or was replaced."""
_SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
_SYSTEM = ("/usr/", "/sbin/", "/bin/", "/lib/")
_ZOMBIE = b"Z"


@dataclass(frozen=True)
class ProcessSeen:
    """A process: whose it is, its name and program, whether it is in our pid namespace.

    ``uid``: the real one; ``euid``: the effective one, 0 where real and saved ids are root's.
    """

    pid: int
    uid: int
    euid: int
    name: str
    program: str
    here: bool


def all_of_them() -> tuple[ProcessSeen, ...]:
    """Return the processes of this host; one that ends meanwhile is left out."""
    here = _link(None, "pid")
    found = []
    for name in os.listdir("/proc"):
        if not is_number(name):
            continue
        try:
            with open(f"/proc/{name}/status", "rb") as stream:
                text = stream.read()
        except OSError:
            continue
        fields = {key: rest for key, _, rest in (line.partition(b":") for line in text.split(b"\n"))}
        uids = fields.get(b"Uid", b"").split()
        if len(uids) < 3:
            continue
        comm = fields.get(b"Name", b"").strip().decode("utf-8", "surrogateescape")
        uid, euid, saved = map(int, uids[:3])
        # Root that has taken on an account's ids for a moment (sshd, a file server) is not the account's to control.
        euid = euid if uid or saved else 0
        # The links are read of people's processes alone: those of the system are many, and nobody asks.
        of_people = bool(uid or euid)
        program, same = (_at(f"/proc/{name}/exe"), _link(int(name), "pid") == here) if of_people else ("", True)
        found.append(ProcessSeen(int(name), uid, euid, comm, program, same))
    return tuple(found)


def runs_what_it_says(process: ProcessSeen) -> bool:
    """True if the program is the file of that name here, or was until that was replaced.

    In a mount namespace of its own an account can put any program where that name is.
    """
    try:
        runs = os.stat(f"/proc/{process.pid}/exe")
        if not runs.st_nlink:
            return runs.st_uid == 0  # No account can make a file of root's, nor remove one.
        return os.path.samestat(runs, os.stat(process.program.removesuffix(DELETED)))
    except OSError:
        return False


def is_root_s_child(process: ProcessSeen) -> bool:
    """True if a process of root's has started it."""
    try:
        return os.stat(f"/proc/{int(stat_of(process.pid)[1])}/task").st_uid == 0
    except (OSError, ValueError, IndexError):
        return False


def stat_of(pid: int) -> list[bytes]:
    """Return state, parent and what follows (proc(5): stat)."""
    with open(f"/proc/{pid}/stat", "rb") as stream:
        return stream.read().rpartition(b")")[2].split()


def is_manager(process: ProcessSeen) -> bool:
    """True if a process is a user manager: systemd itself, which root's has started."""
    program = process.program.removesuffix(DELETED)
    return program in _SYSTEMD and process.here and runs_what_it_says(process) and is_root_s_child(process)


def sort(
    processes: Iterable[ProcessSeen], names: Mapping[int, str], layout: Layout, known: Iterable[str] = ()
) -> tuple[dict[str, tuple[ProcessSeen, ...]], dict[str, tuple[ProcessSeen, ...]]]:
    """Return by account the processes that are in no jail, and those in namespaces of others.

    ``names``: of the accounts in jails, by uid.  ``known``: pid namespaces of jails, beside those of the login program
    among the processes, as :func:`os.readlink` names them.
    """
    outside: dict[str, list[ProcessSeen]] = {}
    inner: dict[str, list[ProcessSeen]] = {}
    spaces = set(known)
    for process in processes:
        name = names.get(process.uid) or names.get(process.euid)
        if name is None or is_manager(process):
            continue
        if is_ours(process.program, layout) and _is_really_ours(process):
            if not process.here and _link(process.pid, "user") == _link(None, "user"):
                spaces.add(_link(process.pid, "pid"))
        elif not process.here:
            inner.setdefault(name, []).append(process)
        elif process.program or not _has_ended(process.pid):
            outside.setdefault(name, []).append(process)
    elsewhere = {
        name: found
        for name, processes in inner.items()
        if (found := tuple(each for each in processes if (space := _link(each.pid, "pid")) and space not in spaces))
    }
    return {name: tuple(found) for name, found in outside.items()}, elsewhere


def is_ours(program: str, layout: Layout) -> bool:
    """True if a process with this program may be a half of a login: the login program's, or a session of sshd's."""
    program = program.removesuffix(DELETED)
    return os.path.dirname(program) == os.path.dirname(layout.login_program) or _is_sshd(program)


def _is_sshd(program: str) -> bool:
    return os.path.basename(program) in SSHD and program.startswith(_SYSTEM)


def _is_really_ours(process: ProcessSeen) -> bool:
    """True if the program is the file of that name, and a session of sshd's the child of root's sshd.

    In a mount namespace of its own an account can put any program where that name is; and it can start sshd itself.
    """
    if not runs_what_it_says(process):
        return False
    return not _is_sshd(process.program.removesuffix(DELETED)) or is_root_s_child(process)


def _has_ended(pid: int) -> bool:
    """True if the process is gone, or a zombie, which has no program either."""
    try:
        return stat_of(pid)[0] == _ZOMBIE
    except (OSError, IndexError):
        return True


def _link(pid: int | None, space: str) -> str:
    """Return what names a namespace of a process, None for this one; "" for one that has ended."""
    return _at(f"/proc/{'self' if pid is None else pid}/ns/{space}")


def _at(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
