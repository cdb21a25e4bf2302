"""The units of systemd that belong to jailssh: stopped and switched off where the set-up is taken back."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from jailssh.core.errors import JailsshError
from jailssh.files import fs
from jailssh.host import install, process

UNITS = (
    "jailssh-audit.timer", "jailssh-audit.service", "jailssh-crontabs.timer",
    "jailssh-crontabs.service", "jailssh-transfers.timer", "jailssh-transfers.service",
    "jailssh-update.path", "jailssh-update.timer", "jailssh-update.service", "jailssh-gone.path", "jailssh-gone.timer",
    "jailssh-gone.service", "jailssh-pull.timer", "jailssh-pull.service", "jailssh-relay.socket",
    "jailssh-relay.service", "jailsshd.socket", "jailsshd.service", "jailsshd-self.socket", "jailsshd-self.service",
    "jailssh-webhooks.service", "jailssh-outbound.service",
)  # fmt: skip
"""What starts something stands before what it starts."""
_FAILED = "failed"
_LOGGED_IN, _CLOSING = ("opening", "online", "active"), "closing"
"""States of sd_login(3): sessions are open; the last one has ended."""
_PATIENCE = 2.0
FOLDERS = ("/etc/systemd/system", "/run/systemd/system")
"""Where ``systemctl enable`` puts its links (systemd.unit(5)), with ``--runtime`` the second."""


def retire(folders: Sequence[str] = FOLDERS) -> list[str]:
    """Stop the units where systemd runs, and take away the links that enabled them; return lines saying what was done.

    A link is removed also where its unit is not there any more.  What cannot be stopped is told of.
    """
    lines = _stop() if process.has_systemd() else []
    disabled = [unit for unit in UNITS if _unlink(unit, folders)]
    if disabled:
        lines += [f"disabled {', '.join(disabled)}", *install.reload_units()]
    return lines


def _stop() -> list[str]:
    lines, stopped = [], []
    for unit in UNITS:
        try:
            if process.run(["systemctl", "--quiet", "is-active", unit], check=False, timeout=10).code == 0:
                process.run(["systemctl", "stop", unit], timeout=120)
                stopped.append(unit)
        except JailsshError as error:
            lines.append(f"note: cannot stop {unit}: {error}; run: systemctl stop {unit}")
    return [*lines, f"stopped {', '.join(stopped)}"] if stopped else lines


def _unlink(unit: str, folders: Sequence[str]) -> bool:
    """Remove the links by which other units start ``unit``; False if there was none."""
    found = False
    for folder in folders:
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            path = f"{folder}/{name}/{unit}"
            if name.endswith((".wants", ".requires")) and os.path.islink(path):
                fs.remove_file(path)
                install.remove_empty_dir(f"{folder}/{name}")
                found = True
    return found


def end_waiting_manager(uid: int) -> None:
    """End the user manager that systemd keeps for a while behind an account's last session, and wait for its end.

    It is what a login leaves behind, for UserStopDelaySec of logind.conf(5), and its processes look like those of
    somebody who is logged in.  That of an account with a session, or that lingers, goes on.
    """
    if not process.has_systemd():
        return
    end = time.monotonic() + _PATIENCE
    while True:
        asked = ["loginctl", "show-user", "--property=State", "--value", str(uid)]
        state = process.run(asked, check=False, timeout=10).stdout.strip()
        if state not in _LOGGED_IN or time.monotonic() > end:
            break
        time.sleep(0.05)  # sshd has just ended
    if state == _CLOSING:
        process.run(["systemctl", "stop", f"user@{uid}.service"], check=False, timeout=60)


def stale() -> list[str]:
    """Return the units of ours, and of sshd, that systemd has read in an older version than the one on disk."""
    if not process.has_systemd():
        return []
    argv = ["systemctl", "show", "--property=Id,NeedDaemonReload", *UNITS, "ssh.service", "sshd.service"]
    done = process.run(argv, check=False, timeout=20)
    found = []
    for block in done.stdout.split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values.get("NeedDaemonReload") == "yes" and values.get("Id") not in found:
            found.append(values.get("Id", ""))
    return found


def failed() -> list[str]:
    """Return those of our units that systemd has given up, where it runs."""
    if not process.has_systemd():
        return []
    # One state a line, in the order of the units.
    states = process.run(["systemctl", "is-failed", *UNITS], check=False, timeout=20).stdout.split()
    return [unit for unit, state in zip(UNITS, states, strict=False) if state == _FAILED]
