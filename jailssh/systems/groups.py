"""The control groups of a system: its own to divide, and held to what its file says (cgroups(7))."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.systems.settings import System

_ROOT = "/sys/fs/cgroup"
_OURS = "jailssh-systems"
_DELEGATED = ("cgroup.procs", "cgroup.threads", "cgroup.subtree_control")
_PERIOD = 100000
"""Microseconds over which processor time is counted."""
_PATIENCE = 2.0


def _unified() -> str:
    """Return the hierarchy of version 2; on some hosts it stands beside those of version 1."""
    for path in (_ROOT, f"{_ROOT}/unified"):
        if os.path.exists(f"{path}/cgroup.procs") and os.path.exists(f"{path}/cgroup.subtree_control"):
            return path
    raise HostError("control groups", "have no hierarchy of version 2 on this host", hint="mount -t cgroup2")


def _limits(system: System) -> list[tuple[str, str, str, str, str]]:
    """Return the limits as (controller, file, value) of version 2, and (file, value) of version 1."""
    found = []
    if system.memory >= 0:
        found.append(("memory", "memory.max", str(system.memory), "memory.limit_in_bytes", str(system.memory)))
    if system.tasks >= 0:
        found.append(("pids", "pids.max", str(system.tasks), "pids.max", str(system.tasks)))
    if system.cpu >= 0:
        quota = str(system.cpu * _PERIOD // 100)
        found.append(("cpu", "cpu.max", f"{quota} {_PERIOD}", "cpu.cfs_quota_us", quota))
    return found


def make(system: System, base: int) -> list[str]:
    """Make the groups of a system, whose root has the id ``base``; return those that its init is put into."""
    top = _unified()
    group = f"{top}/{_OURS}/{system.name}"
    made = [group]
    try:
        _make(group)
        for controller, file, value, old_file, old_value in _limits(system):
            if controller in _read(f"{top}/cgroup.controllers").split():
                for above in (top, f"{top}/{_OURS}"):
                    _write(f"{above}/cgroup.subtree_control", f"+{controller}")
                _write(f"{group}/{file}", value)
                continue
            old = f"{_ROOT}/{controller}/{_OURS}/{system.name}"
            if not os.path.isdir(f"{_ROOT}/{controller}"):
                raise HostError(f"limit of {controller}", "is not to be had on this host")
            _make(old)
            made.append(old)
            _write(f"{old}/{old_file}", old_value)
        for name in _DELEGATED:
            os.chown(f"{group}/{name}", base, base)
        os.chown(group, base, base)
    except OSError as error:
        remove(system.name)
        why = (error.strerror or str(error)).lower()
        raise HostError(f"control group {error.filename or group}", why) from error
    return made


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
            for folder, _, _ in os.walk(group, topdown=False):
                with suppress(OSError):
                    os.rmdir(folder)
            with suppress(OSError):
                os.rmdir(os.path.dirname(group))
        if not _all_of(name) or time.monotonic() > end:
            return
        time.sleep(0.02)


def processes(name: str) -> set[int]:
    """Return the numbers of the processes in the groups of a system."""
    return {pid for group in _all_of(name) for folder, _, _ in os.walk(group) for pid in _pids(folder)}


def _pids(folder: str) -> Iterator[int]:
    with suppress(OSError):
        yield from (int(word) for word in _read(f"{folder}/cgroup.procs").split())


def tell_to_end(name: str, but: int) -> None:
    """Send SIGTERM to all processes in the groups of a system but ``but``."""
    for pid in processes(name) - {but}:
        with suppress(OSError):
            fd = os.pidfd_open(pid)
            try:
                if pid in processes(name):
                    signal.pidfd_send_signal(fd, signal.SIGTERM)
            finally:
                os.close(fd)
