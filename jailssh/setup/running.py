"""What is on disk and what runs: sshd has read the drop-in when its answer shows it, not when it got a signal.

Before the drop-in changes, a file says that a reload is owed; it goes when every sshd of the host was seen to go by
what is on disk.  So one that was killed in between is made good by the next command.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from jailssh.core.errors import ConfigError, JailsshError
from jailssh.files import fs
from jailssh.host import install
from jailssh.host.paths import Layout
from jailssh.services import listeners, units
from jailssh.services.listeners import ListenerState, Standing

_WHY = b"sshd and systemd have yet to read what jailssh setup wrote\n"


def owe(layout: Layout) -> None:
    """Write down that what runs has yet to read its configuration again; before that is changed."""
    fs.atomic_write(layout.reload_owed, _WHY, mode=0o600)


def is_owed(layout: Layout) -> bool:
    """True if that is written down; what the file says does not matter, so a damaged one counts too."""
    return os.path.lexists(layout.reload_owed)


def settle(layout: Layout) -> list[str]:
    """Have sshd and systemd read what is on disk, see that they have, and strike the debt.

    Returns lines about what was done; raises where one still goes by what was before, and the debt stays.  Call it
    under the lock of the set-up.
    """
    lines = [*listeners.have_read_again(layout), *install.reload_units()]
    fs.remove_file(layout.reload_owed)
    return lines


def settle_owed(layout: Layout) -> list[str]:
    """Do as :func:`settle` where a reload is owed; nothing else."""
    return settle(layout) if is_owed(layout) else []


def settle_old(layout: Layout) -> list[str]:
    """Do as :func:`settle` where a reload is owed, or a running sshd or systemd is older than what is on disk."""
    if (
        not is_owed(layout)
        and not any(each.state == Standing.OLD for each in listeners.standings(layout))
        and not units.stale()
    ):
        return []
    owe(layout)
    return settle(layout)


def findings(layout: Layout, standings: Sequence[ListenerState] | None = None) -> list[ConfigError]:
    """Return where what runs is not what is written; reads only.  ``standings``: of sshd, where they are known."""
    found = []
    if is_owed(layout):
        why = "setup was interrupted before sshd used its drop-in: accounts may log in without their jail"
        found.append(ConfigError("reload of sshd", why, hint="jailssh setup"))
    for each in listeners.standings(layout) if standings is None else standings:
        if each.state == Standing.OLD:
            found.append(ConfigError(each.listener.name(), each.why, hint="jailssh setup"))
    if stale := units.stale():
        why = f"uses older versions of units than those on disk: {', '.join(stale)}"
        found.append(ConfigError("systemd", why, hint="systemctl daemon-reload"))
    return found


def notes(layout: Layout) -> list[str]:
    """Return what cannot be told about a running sshd."""
    return [
        f"note: {each.listener.name()}: {each.why}; to be sure: systemctl restart ssh"
        for each in listeners.standings(layout)
        if each.state not in (Standing.OLD, Standing.RIGHT)
    ]


def try_owed(layout: Layout) -> list[str]:
    """Do as :func:`settle_owed`, for commands that have more to do: what fails is a line."""
    try:
        return settle_owed(layout)
    except JailsshError as error:
        return [f"note: {error}" + (f"; {error.hint}" if error.hint else "")]
