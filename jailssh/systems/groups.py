"""The control groups of a system: its own to divide, and held to what its file says (cgroups(7)).

Where the system is a unit of systemd's they are that unit's, which has its limits; else they are our own.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.files import control_groups
from jailssh.systems.settings import LIMITS, System

_ROOT = "/sys/fs/cgroup"
_OURS = "jailssh-systems"
_DELEGATED = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control")
_WATCH, _PAYLOAD = "supervisor", "payload"
"""Below a unit's group, as systemd-nspawn(1) has them: no group has both processes and groups with controllers."""
_PATIENCE = 2.0
_BELOW = {"cgroup.max.descendants": 4096, "cgroup.max.depth": 32}
"""Groups that a system may make below its own: the kernel has 65535 of those with memory for the whole host."""
_AT_ONCE = 256
"""Processes that are pinned at a time."""


def _unified() -> str:
    """Return the hierarchy of version 2; on some hosts it stands beside those of version 1."""
    for path in (_ROOT, f"{_ROOT}/unified"):
        if os.path.exists(f"{path}/cgroup.procs") and os.path.exists(f"{path}/cgroup.subtree_control"):
            return path
    raise HostError("control groups", "have no hierarchy of version 2 on this host", hint="mount -t cgroup2")


def make(system: System, base: int) -> list[str]:
    """Make the groups of a system, whose root has the id ``base``; return those that its init is put into.

    There is one for each limit that this host can hold it to, so that it can be set later.
    """
    group = f"{_unified()}/{_OURS}/{system.name}"
    made = [group]
    try:
        _make(group)
        for limit in LIMITS:
            folder = _folder(system, limit)
            if folder not in ("", *made):
                _make(folder)
                made.append(folder)
        hold(system)
        _delegate(group, base)
    except OSError as error:
        remove(system.name)
        raise _failed(error, group) from error
    except HostError:
        remove(system.name)
        raise
    return made


def make_in_unit(system: System, base: int) -> list[str]:
    """Make the groups of a system in those of a unit, which we are in, and one for us; return those for its init.

    They are held to the same as the unit, which has room for what stops it, whatever the system does.
    """
    own = control_groups.own()
    unit = f"{_unified()}{own.get('', '')}"
    made = [f"{unit}/{_PAYLOAD}"]
    try:
        for folder in (f"{unit}/{_WATCH}", *made):
            _make(folder)
        _write(f"{unit}/{_WATCH}/cgroup.procs", "0")
        for controller in _read(f"{unit}/cgroup.controllers").split():
            _write(f"{unit}/cgroup.subtree_control", f"+{controller}")
        for names, path in own.items():
            if set(names.split(",")) & set(control_groups.OF.values()) and path.endswith(own.get("", "/")):
                made.append(f"{_ROOT}/{names}{path}/{_PAYLOAD}")
                _make(made[-1])
        hold_in_unit(system, made)
        _delegate(made[0], base)
    except OSError as error:
        raise _failed(error, made[0]) from error
    return made


def hold_in_unit(system: System, folders: Sequence[str]) -> None:
    """Hold the groups that :func:`make_in_unit` has made to what the system's file says; :class:`HostError`."""
    for limit in LIMITS:
        controller = control_groups.OF[limit]
        # In the hierarchy of version 2 first: where it has the controller, no other has.
        found = next((each for each in folders if _has(each, controller, first=each != folders[0])), "")
        if not found and system.limit(limit) >= 0:
            raise HostError(f"limit of {limit}", "is not to be had on this host: systemd has no control over it")
        try:
            if found:
                control_groups.hold(found, limit, system.limit(limit))
        except OSError as error:
            raise _failed(error, limit) from error


def _has(folder: str, controller: str, *, first: bool) -> bool:
    if first:
        return controller in folder.removeprefix(f"{_ROOT}/").partition("/")[0].split(",")
    return controller in _read(f"{folder}/cgroup.controllers").split()


def hold(system: System) -> None:
    """Hold the groups that :func:`make` has made to what the system's file says; :class:`HostError`."""
    for limit in LIMITS:
        try:
            folder = _folder(system, limit)
            if folder:
                control_groups.hold(folder, limit, system.limit(limit))
        except OSError as error:
            raise _failed(error, limit) from error


def _folder(system: System, limit: str) -> str:
    """Return the group that holds a system to a limit; "" where there is none and none is needed."""
    top, controller = _unified(), control_groups.OF[limit]
    needed = system.limit(limit) >= 0
    if controller in _read(f"{top}/cgroup.controllers").split():
        try:
            for above in (top, f"{top}/{_OURS}"):
                _write(f"{above}/cgroup.subtree_control", f"+{controller}")
        except OSError:  # in a container, whose own processes are in the topmost group
            if needed:
                raise
            return ""
        return f"{top}/{_OURS}/{system.name}"
    if needed and not os.path.isdir(f"{_ROOT}/{controller}"):
        raise HostError(f"limit of {limit}", "is not to be had on this host")
    return f"{_ROOT}/{controller}/{_OURS}/{system.name}" if os.path.isdir(f"{_ROOT}/{controller}") else ""


def _delegate(group: str, base: int) -> None:
    for name, most in _BELOW.items():
        _write(f"{group}/{name}", str(most))
    for name in _DELEGATED:
        os.chown(f"{group}/{name}", base, base)
    os.chown(group, base, base)


def _failed(error: OSError, group: str) -> HostError:
    return HostError(f"control group {error.filename or group}", (error.strerror or str(error)).lower())


def _make(group: str) -> None:
    os.makedirs(group, 0o755, exist_ok=True)


def _read(path: str) -> str:
    with open(path, encoding="ascii") as stream:
        return stream.read()


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as stream:
        stream.write(text)


def _all_of(name: str) -> list[str]:
    found = [f"{_ROOT}/{folder}/{_OURS}/{name}" for folder in ("", *sorted(os.listdir(_ROOT)))]
    return [path for path in found if os.path.isdir(path)]


def remove(name: str) -> None:
    """Remove the groups of a system that has ended, and those in them; what still has processes stays."""
    end = time.monotonic() + _PATIENCE  # the last of its processes may just be ending
    while True:
        for group in _all_of(name):
            for folder in reversed(_folders(group)):
                with suppress(OSError):
                    os.rmdir(folder)
            with suppress(OSError):
                os.rmdir(os.path.dirname(group))
        if not _all_of(name) or time.monotonic() > end:
            return
        time.sleep(0.02)


def _folders(group: str) -> list[str]:
    """Return a group and all below it, each behind the one that it is in, however deep its root has made them."""
    found = [group]
    for folder in found:
        with suppress(OSError), os.scandir(folder) as entries:
            found += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return found


def _pids(folder: str) -> set[int]:
    with suppress(OSError):
        return {int(word) for word in _read(f"{folder}/cgroup.procs").split()}
    return set()


def tell_to_end(group: str, but: int) -> None:
    """Send SIGTERM to all processes in the group ``group`` of version 2, which a system has, but ``but``."""
    for folder in _folders(group):
        pids = sorted(_pids(folder) - {but})
        for at in range(0, len(pids), _AT_ONCE):
            _tell(folder, pids[at : at + _AT_ONCE])


def _tell(folder: str, pids: Sequence[int]) -> None:
    opened: dict[int, int] = {}
    for pid in pids:
        with suppress(OSError):
            opened[pid] = os.pidfd_open(pid)
    there = _pids(folder)  # looked at once they are pinned, and for all at a time: there may be very many
    for pid, fd in opened.items():
        with suppress(OSError):
            if pid in there:
                signal.pidfd_send_signal(fd, signal.SIGTERM)
        os.close(fd)
