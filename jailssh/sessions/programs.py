"""One look at all processes, and what of each nobody but the kernel and root can have written.

A session is known by what its account cannot make: a process that runs the login program's file, in the host's user
namespace, and has given up even its bounding set (capabilities(7)), which takes power.  An account that starts the
program by hand or traces it never gets there: what is traced is not set-user-ID (ptrace(2)).  What else is in a
session descends from its first process, since the kernel gives orphans to the first of their namespace.  Names,
arguments and environment of what runs inside are no evidence and are not looked at.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import NamedTuple

from jailssh.core.names import is_number
from jailssh.host.paths import Layout
from jailssh.services.processes import DELETED
from jailssh.services.sessions import SSHD

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


def all_of_them() -> dict[int, Seen]:
    """Return the processes of this pid namespace and of those below it, by pid."""
    pids = [int(name) for name in os.listdir("/proc") if is_number(name)]
    return {pid: seen for pid in pids if (seen := look_at(pid)) is not None}


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


class Programs:
    """Which files processes run; the answers about a file hold for one look at the host."""

    def __init__(self, layout: Layout) -> None:
        self._login = layout.login_program
        self._space = link(os.getpid(), "ns/user")
        self._known: dict[tuple[int, int], str] = {}

    def is_login(self, seen: Seen) -> bool:
        """True if the process is a half of the login program that has given up its power."""
        return (
            seen.bounded
            and seen.is_of_one
            and self._file(seen.pid) == self._login
            and link(seen.pid, "ns/user") == self._space
        )

    def is_sshd(self, seen: Seen) -> bool:
        """True if the process runs a program of OpenSSH's server."""
        return os.path.basename(self._file(seen.pid)) in SSHD

    def _file(self, pid: int) -> str:
        """Return the path of the program, "" where the file that runs is none of root's that is or was there."""
        try:
            info = os.stat(f"/proc/{pid}/exe")
        except OSError:
            return ""
        key = (info.st_dev, info.st_ino)
        if key not in self._known:
            path = link(pid, "exe").removesuffix(DELETED)
            self._known[key] = ""
            with suppress(OSError):
                # No account can make a file of root's, nor remove one.
                there = info.st_nlink == 0 or os.path.samestat(info, os.stat(path))
                self._known[key] = path if there and info.st_uid == 0 else ""
        return self._known[key]
