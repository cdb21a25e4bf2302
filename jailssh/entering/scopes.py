"""Scopes of systemd's (systemd.scope(5)): control groups by a name, for a process that is there already."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable

from jailssh.core.errors import HostError
from jailssh.host import process

PATIENCE = 10.0
# Of a login, or of an account's own manager: what is in there may be ended with the login (logind.conf(5)).
_OF_LOGIN = re.compile(r"/user\.slice/")


def start(name: str, pid: int, description: str, properties: Iterable[tuple[str, ...]]) -> None:
    """Bring a process into a new scope; :class:`HostError` where it is not there then.

    ``properties``: more of them, as busctl(1) takes them: name, type, value.
    """
    every = [
        ("Description", "s", description), ("PIDs", "au", "1", str(pid)), ("CollectMode", "s", "inactive-or-failed"),
        *properties,
    ]  # fmt: skip
    words = [word for each in every for word in each]
    process.run(
        ["busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
         "StartTransientUnit", "ssa(sv)a(sa(sv))", name, "fail", str(len(every)), *words, "0"],
        timeout=PATIENCE,
    )  # fmt: skip
    until = time.monotonic() + PATIENCE
    while name not in _groups_of(pid):
        if time.monotonic() > until:
            raise HostError(f"scope {name}", "has not been started by systemd")
        time.sleep(0.002)


def leave_login(name: str, pid: int, description: str) -> str:
    """Bring a process that is in the control group of a login into a scope of its own, which that does not end.

    Return "", or in a line why it is still there.
    """
    if not process.has_systemd() or not _OF_LOGIN.search(_groups_of(pid)):
        return ""
    try:
        start(name, pid, description, ())
    except HostError as error:
        return f"note: {description} may end with this login: {error.why}"
    return ""


def _groups_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return ""  # it has ended
