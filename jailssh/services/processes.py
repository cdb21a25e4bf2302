"""Processes of this host: whose they are, what they run, and which of an account in a jail are in none."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from jailssh.core.names import is_number
from jailssh.host.paths import Layout
from jailssh.host.process import is_zombie

SSHD = ("sshd", "sshd-session", "sshd-auth")
"""The programs of a server of OpenSSH, by name."""
FIRST = b"1"
"""The number of the first process of a pid namespace, in there."""
DELETED = " (deleted)"
"""What proc(5) puts behind a program whose file is gone or was replaced."""
_SYSTEMD = ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")
_SYSTEM = ("/usr/", "/sbin/", "/bin/", "/lib/")
_ZOMBIE = b"Z"
_MOST = 1 << 14
_STATUS = re.compile(
    rb"\nPPid:\t(\d+)\n.*?\nUid:\t(\d+)\t(\d+)\t(\d+)\t(\d+)\n.*?\nNSpid:\t([\d\t]+)\n.*?\nNSsid:\t([\d\t]+)\n", re.S
)
"""Of proc_pid_status(5); a name cannot have a newline there."""
_NO_BOUNDING_SET = b"\nCapBnd:\t0000000000000000\n"
_MEMORY = re.compile(rb"\nRss(?:Anon|Shmem):\s+(\d+) kB")


class Seen(NamedTuple):
    """A process; ``uids``: real, effective, saved, of the file system; ``numbers``: its ids, outer namespace first.

    ``leads``: it leads a session of its own in its innermost pid namespace (setsid(2)).  ``bounded``: nothing is in
    its bounding set.
    """

    pid: int
    parent: int
    uids: tuple[int, int, int, int]
    numbers: tuple[bytes, ...]
    leads: bool
    bounded: bool
    status: bytes

    @property
    def uid(self) -> int:
        """The real uid."""
        return self.uids[0]

    @property
    def is_of_one(self) -> bool:
        """True if all its ids are those of one account that is not root's."""
        return self.uids[0] != 0 and len(set(self.uids)) == 1

    def is_like(self, other: Seen) -> bool:
        """True if this can be the process ``other`` seen at another time: it is the same account's in that part."""
        return (self.parent, self.uids, self.numbers, self.leads, self.bounded) == (
            other.parent, other.uids, other.numbers, other.leads, other.bounded
        )  # fmt: skip

    @property
    def name(self) -> str:
        """Its name, which anybody can give their own processes."""
        return self.status.partition(b"\n")[0].removeprefix(b"Name:\t").decode("utf-8", "surrogateescape")

    @property
    def memory(self) -> int:
        """Bytes of memory that it has now beside the pages of files (proc_pid_status(5): RssAnon, RssShmem)."""
        return sum(int(each) for each in _MEMORY.findall(self.status)) * 1024


def look_at(pid: int) -> Seen | None:
    """Return a process as it is now, None where there is none."""
    text = read(pid, "status")
    if (found := _STATUS.search(text)) is None:
        return None
    parent, real, effective, saved, files, numbers, leaders = found.groups()
    ids = tuple(numbers.split())
    return Seen(
        pid, int(parent), (int(real), int(effective), int(saved), int(files)), ids,
        leaders.split()[-1] == ids[-1], _NO_BOUNDING_SET in text, text,
    )  # fmt: skip


def look_at_all() -> dict[int, Seen]:
    """Return the processes of this pid namespace and of those below it, by pid; none that has ended."""
    pids = [int(name) for name in os.listdir("/proc") if is_number(name)]
    return {pid: seen for pid in pids if (seen := look_at(pid)) is not None and not is_zombie(seen.status)}


def read(pid: int, name: str) -> bytes:
    """Return the beginning of a file of a process (proc(5)), nothing where the process has ended."""
    try:
        fd = os.open(f"/proc/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, _MOST)
    except OSError:
        return b""
    finally:
        os.close(fd)


def link(pid: int, name: str) -> str:
    """Return where a link of a process leads, "" where the process has ended."""
    try:
        return os.readlink(f"/proc/{pid}/{name}")
    except OSError:
        return ""


def link_of_any(pid: int, name: str) -> str:
    """Do as :func:`link`; of a process whose first thread has ended, which shows nothing then, by another one."""
    if leads := link(pid, name):
        return leads
    with suppress(OSError):
        threads = os.listdir(f"/proc/{pid}/task")
        return next((leads for thread in threads if (leads := link(pid, f"task/{thread}/{name}"))), "")
    return ""


def depth() -> int:
    """Return how many numbers a process of this pid namespace has; those of one below it have more."""
    seen = look_at(os.getpid())
    return len(seen.numbers) if seen else 1


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
    here = own_space()
    return tuple(judged(seen, here) for seen in look_at_all().values())


def own_space() -> str:
    """Return what names the pid namespace of this process."""
    return link(os.getpid(), "ns/pid")


def judged(seen: Seen, here: str) -> ProcessSeen:
    """Return a process as the checks judge it; ``here``: :func:`own_space`."""
    real, effective, saved, _ = seen.uids
    # Root that has taken on an account's ids for a moment (sshd, a file server) is not the account's to control.
    effective = effective if real or saved else 0
    # The links are read of people's processes alone: those of the system are many, and nobody asks.
    of_people = bool(real or effective)
    program = link_of_any(seen.pid, "exe") if of_people else ""
    same = not of_people or link_of_any(seen.pid, "ns/pid") == here
    return ProcessSeen(seen.pid, real, effective, seen.name, program, same)


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
            if not process.here and link(process.pid, "ns/user") == link(os.getpid(), "ns/user"):
                spaces.add(link(process.pid, "ns/pid"))
        elif not process.here:
            inner.setdefault(name, []).append(process)
        elif process.program or not _has_ended(process.pid):
            outside.setdefault(name, []).append(process)
    # What has ended meanwhile is in none.
    spaces.add("")
    elsewhere = {
        name: found
        for name, processes in inner.items()
        if (found := tuple(each for each in processes if link_of_any(each.pid, "ns/pid") not in spaces))
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
