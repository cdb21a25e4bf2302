"""Who makes a change, so that an interrupted one can be told from one that goes on."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from jailssh.host import process


@dataclass(frozen=True)
class Owner:
    """Who makes a change: a process of a boot (proc(5): stat 22, boot_id), since seconds since 1970.

    ``what`` says it to people; ``again`` is the command that ends it, "" where there is none.
    """

    what: str
    again: str
    pid: int
    started: int
    boot: str
    time: int

    def is_alive(self) -> bool:
        """True if that process is there still."""
        return self.boot == process.boot_id() and self.started == process.start_time(self.pid)


def owner(what: str, again: str = "") -> Owner:
    """Return this process as the owner of a change."""
    pid = os.getpid()
    return Owner(what, again, pid, process.start_time(pid) or 0, process.boot_id(), int(time.time()))
