"""What the daemon says of itself: one line for ``systemctl status``, and a file below /run for ``jailssh doctor``."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from jailssh.core.errors import JailsshError
from jailssh.core.names import escape, pluralize
from jailssh.files import fs
from jailssh.host import process
from jailssh.host.paths import Layout

_LIMIT = 1 << 16


@dataclass(frozen=True)
class Status:
    """``pid``, ``started`` (proc(5): stat 22): which process; ``answered``, ``refused``, ``failed``: logins so far.

    ``failed``: refused by an error of the daemon's own.  ``trouble``: see
    :class:`jailssh.daemon.last_good.LastGood`.
    """

    pid: int
    started: int
    answered: int = 0
    refused: int = 0
    failed: int = 0
    trouble: str = ""

    def line(self) -> str:
        """Return it in one line for people."""
        served = f"{pluralize(self.answered, 'plan')} made, {self.refused} refused"
        served += f", {self.failed} of them because of an internal error" if self.failed else ""
        if not self.trouble:
            return served
        return f"{served}; {escape(self.trouble, 300)}"


def path(layout: Layout) -> str:
    """Return the file that has the status of the daemon."""
    return f"{layout.run}/jailsshd.status"


class Teller:
    """Counts answers and tells them; ``notify`` takes a line of sd_notify(3)."""

    def __init__(self, layout: Layout, notify: Callable[[str], None]) -> None:
        self._layout, self._notify = layout, notify
        self._status = Status(os.getpid(), process.start_time(os.getpid()) or 0)
        self._lock = threading.Lock()
        self._told: Status | None = None

    def count(self, line: str, trouble: str) -> None:
        """Count the answer ``line``, and tell."""
        code = line.split(" ")[1] if line.startswith("no ") else ""
        with self._lock:
            old = self._status
            self._status = Status(
                old.pid, old.started, old.answered + (not code), old.refused + bool(code),
                old.failed + (code == "build-failed"), trouble,
            )  # fmt: skip
        self.tell(trouble)

    def tell(self, trouble: str = "") -> None:
        """Tell what is not told yet.  Never raises: who serves goes on without anybody that listens."""
        with self._lock:
            self._status = replace(self._status, trouble=trouble)
            status, told = self._status, self._told
            self._told = status
        if status == told:
            return
        with suppress(Exception):
            self._notify(f"STATUS={status.line()}")
        with suppress(JailsshError, OSError):
            fs.atomic_write(path(self._layout), json.dumps(asdict(status)).encode("ascii"), mode=0o644)


def read(layout: Layout) -> Status | None:
    """Return the status that a daemon which runs has written, None where none runs or its file says nothing."""
    try:
        found: Any = json.loads(fs.read_trusted(path(layout), _LIMIT, trusted_root=layout.root or None))
        status = Status(**found)
        runs = process.start_time(int(status.pid)) == status.started
    except (JailsshError, OSError, ValueError, TypeError, RecursionError):
        return None
    numbers = (status.pid, status.started, status.answered, status.refused, status.failed)
    whole = all(isinstance(number, int) for number in numbers) and isinstance(status.trouble, str)
    return status if runs and whole else None
