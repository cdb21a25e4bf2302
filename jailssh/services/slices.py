"""What an account may use of the host in all its sessions together: its slice of systemd (systemd.resource-control(5)).

pam_systemd(8) puts each login into ``user-UID.slice``.  ``systemctl set-property`` holds a slice to something at once,
running sessions too, and keeps it in a drop-in of its own for each property.  What was set here is recorded below the
state directory, so that what the administrator has set is left as it is.

No failure here stops a login or takes one away: the functions say what went wrong.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache

from jailssh.core.errors import JailsshError
from jailssh.files import fs
from jailssh.host import install, process
from jailssh.host.paths import Layout

CONTROL = "/etc/systemd/system.control"
"""Where ``systemctl set-property`` keeps what it sets."""
NO_LIMIT: Mapping[str, str] = {
    "MemoryMax": "infinity", "MemorySwapMax": "infinity", "TasksMax": "infinity", "CPUQuota": "", "CPUWeight": "",
    "IOWeight": "",
}  # fmt: skip
"""Every property that is set here, and what takes it back."""

_CGROUPS = "/sys/fs/cgroup"
_PAM = "/etc/pam.d"
_INCLUDE = re.compile(r"(?:@include|-?session\s+(?:include|substack))\s+([\w.-]+)")
_LIMIT = 1 << 16
_TIMEOUT = 10.0


def why_not() -> str:
    """Return why accounts cannot be held to anything on this host, "" where they can."""
    if not process.has_systemd():
        return "systemd is not running"
    missing = [name for name in ("memory", "pids") if not _controlled(name)]
    if missing:
        return f"systemd does not manage the cgroup controllers {' and '.join(missing)}"
    if not _in_session_stack("sshd"):
        return f"logins get no slice: pam_systemd is missing in the session modules of {_PAM}/sshd"
    return ""


def _controlled(controller: str) -> bool:
    """True if systemd manages groups of this controller, in the one hierarchy or in that controller's own."""
    with suppress(OSError), open(f"{_CGROUPS}/cgroup.controllers", encoding="ascii") as stream:
        return controller in stream.read().split()
    return os.path.isdir(f"{_CGROUPS}/{controller}/system.slice")


def _in_session_stack(service: str, depth: int = 0) -> bool:
    if depth > 8:
        return False
    try:
        with open(f"{_PAM}/{service}", encoding="utf-8", errors="replace") as stream:
            lines = [line.strip() for line in stream]
    except OSError:
        return False
    if any(re.match(r"-?session\s.*\bpam_systemd\.so\b", line) for line in lines):
        return True
    return any((found := _INCLUDE.match(line)) and _in_session_stack(found[1], depth + 1) for line in lines)


def total_memory() -> int:
    """Return the bytes of memory of this host."""
    return _machine(int(time.monotonic()))[0]


def processors() -> int:
    """Return how many processors this host has."""
    return _machine(int(time.monotonic()))[1]


@lru_cache(maxsize=1)
def _machine(_second: int) -> tuple[int, int]:
    """Return memory and processors, looked at once a second: each account's plan asks several times."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), os.cpu_count() or 1


def difference(layout: Layout, uid: int, wanted: Mapping[str, str]) -> list[str]:
    """Return the lines that show what :func:`hold` would change."""
    if layout.root or why_not():
        return []
    try:
        recorded = _read(layout, uid)
        now = {name: value for name, value in wanted.items() if _is_free(uid, name, recorded)}
    except JailsshError:
        return []  # hold() says what is wrong
    gone, new = sorted(recorded.items() - now.items()), sorted(now.items() - recorded.items())
    return [f"{sign} all sessions together: {name}={value}" for sign, rows in (("-", gone), ("+", new))
            for name, value in rows]  # fmt: skip


def hold(layout: Layout, uid: int, wanted: Mapping[str, str]) -> str:
    """Hold the account to ``wanted`` and to nothing else that was set here; return what went wrong, or ""."""
    if layout.root or why_not():
        return ""
    try:
        recorded = _read(layout, uid)
        mine = {name: value for name, value in wanted.items() if _is_free(uid, name, recorded)}
        gone = [name for name in recorded if name not in mine and _is_ours(uid, name, recorded)]
        stale = [name for name in mine if mine[name] != recorded.get(name) or not _is_ours(uid, name, mine)]
        if not stale and not gone and mine == recorded:
            return ""
        # First the record: what is interrupted can be taken back.
        _write(layout, uid, {**{name: recorded[name] for name in gone}, **mine})
        _set(uid, {name: mine[name] for name in stale})
        if gone:
            _take_back(uid, gone)
            _write(layout, uid, mine)
    except JailsshError as error:
        return f"cannot limit the resources of uid {uid}: {error}"
    return ""


def release(layout: Layout, uid: int) -> str:
    """Take back what :func:`hold` set for the account; return what went wrong, or ""."""
    try:
        recorded = _read(layout, uid)
        if recorded:
            _take_back(uid, [name for name in recorded if _is_ours(uid, name, recorded)])
        if os.path.lexists(_record(layout, uid)):
            fs.remove_file(_record(layout, uid))
            install.remove_empty_dir(os.path.dirname(_record(layout, uid)))
    except JailsshError as error:
        return f"cannot lift the resource limits of uid {uid}: {error}"
    return ""


def _set(uid: int, values: Mapping[str, str]) -> None:
    if values:
        words = [f"{name}={value}" for name, value in values.items()]
        process.run(["systemctl", "--quiet", "set-property", f"user-{uid}.slice", *words], timeout=_TIMEOUT)


def _take_back(uid: int, names: list[str]) -> None:
    """Lift these for running sessions, then remove the drop-ins, so that later ones have what others have."""
    if not names:
        return
    if process.has_systemd():
        _set(uid, {name: NO_LIMIT[name] for name in names})
    for name in names:
        fs.remove_file(_drop_in(uid, name))
    install.remove_empty_dir(os.path.dirname(_drop_in(uid, "")))


def _is_free(uid: int, name: str, recorded: Mapping[str, str]) -> bool:
    """True unless the administrator has set this property with systemctl."""
    return not os.path.lexists(_drop_in(uid, name)) or _is_ours(uid, name, recorded)


def _is_ours(uid: int, name: str, recorded: Mapping[str, str]) -> bool:
    """True if the drop-in says what was set here, or was left by taking that back without coming to its end."""
    path = _drop_in(uid, name)
    if name not in recorded or not os.path.lexists(path):
        return False
    lines = fs.read_trusted(path, _LIMIT).decode("utf-8", "replace").split("\n")
    return f"{name}={recorded[name]}" in lines or f"{name}={NO_LIMIT[name]}" in lines


def _drop_in(uid: int, name: str) -> str:
    return f"{CONTROL}/user-{uid}.slice.d/50-{name}.conf"


def files_of(layout: Layout, uid: int) -> list[str]:
    """Return the files that :func:`difference` rests on."""
    folder = os.path.dirname(_drop_in(uid, ""))
    drop_ins = [_drop_in(uid, name) for name in NO_LIMIT] if os.path.lexists(folder) else []
    return [_record(layout, uid), folder, *drop_ins]


def _record(layout: Layout, uid: int) -> str:
    return f"{layout.state}/slices/{uid}"


def _read(layout: Layout, uid: int) -> dict[str, str]:
    """Return what was set here; a damaged record is none."""
    if not os.path.lexists(_record(layout, uid)):
        return {}
    with suppress(ValueError):
        found = json.loads(fs.read_trusted(_record(layout, uid), _LIMIT, trusted_root=layout.root or None))
        if isinstance(found, dict):
            return {name: str(value) for name, value in found.items() if name in NO_LIMIT}
    return {}


def _write(layout: Layout, uid: int, values: Mapping[str, str]) -> None:
    fs.ensure_dir(os.path.dirname(_record(layout, uid)), 0o700)
    fs.atomic_write(_record(layout, uid), json.dumps(dict(values)).encode(), mode=0o600)
