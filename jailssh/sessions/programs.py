"""Which processes are halves of the login program, and which are sshd's: by files that no account can make.

A session is known by what its account cannot make: a process that runs the login program's file, in the host's user
namespace, and has given up even its bounding set (capabilities(7)), which takes power.  An account that starts the
program by hand or traces it never gets there: what is traced is not set-user-ID (ptrace(2)).  What else is in a
session descends from its first process, since the kernel gives orphans to the first of their namespace.  Names,
arguments and environment of what runs inside are no evidence and are not looked at.
"""

from __future__ import annotations

import os
from contextlib import suppress

from jailssh.host.paths import Layout
from jailssh.services.processes import DELETED, SSHD, Seen, link


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
