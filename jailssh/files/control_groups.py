"""A control group of our own for one command, made below the one that we are in (cgroups(7)): version 2, or version 1.

It bears the pid and the start of who made it, and where that pid counts: what is left of who is gone is removed by who
comes next.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from jailssh.core.errors import HostError

TOP = "/sys/fs/cgroup"
_PREFIX = "jailssh-run."
_PERIOD = 100_000
"""Microseconds by which CPU time is measured out."""
_ENOUGH = 100
OF = {"memory": "memory", "tasks": "pids", "cpu": "cpu"}
"""The controller of each limit."""


def make(limits: Mapping[str, int], started: Callable[[int], int | None], top: str = TOP) -> list[str]:
    """Make the groups for ``limits`` (memory in bytes, tasks, cpu in percent of one) and return their directories.

    There is one of version 2, or one for each controller of version 1.  ``started``: when a pid was started, or None;
    :class:`HostError`, and then nothing is left.
    """
    name = f"{_PREFIX}{os.getpid()}.{started(os.getpid())}.{_space()}"
    found: list[str] = []
    try:
        for parent, settings in _wanted(limits, top):
            _sweep(parent, started)
            path = f"{parent}/{name}"
            if path not in found:
                os.mkdir(path, 0o755)
                found.append(path)
            for file, value in settings:
                _set(f"{path}/{file}", value)
    except OSError as error:
        remove(found)
        where = error.filename or top
        hint = "in a container, limit the container" if error.errno in (errno.EROFS, errno.EACCES) else ""
        raise HostError(f"control group {where}", (error.strerror or str(error)).lower(), hint=hint) from error
    except HostError:
        remove(found)
        raise
    return found


def remove(groups: list[str]) -> None:
    """Remove groups that :func:`make` has made and nobody has entered."""
    for path in groups:
        with suppress(OSError):
            os.rmdir(path)


def is_held(limit: str, name: str, top: str = TOP) -> bool:
    """True if we are in the group ``name`` for this limit too: its controller counts there."""
    controller = OF[limit]
    for names, path in own().items():
        if controller in names.split(","):
            return path.endswith(f"/{name}")
        if not names and path.endswith(f"/{name}") and os.path.exists(f"{top}{path}/{controller}.max"):
            return True
    return False


def _space() -> str:
    """Return the number of the namespace in which our pids count: of others we do not know who lives."""
    return str(os.stat("/proc/self/ns/pid").st_ino)


def _set(path: str, value: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(fd)


def _sweep(parent: str, started: Callable[[int], int | None]) -> None:
    """Remove what is left of who is gone; where a command still runs, in the background, the kernel keeps it."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            pid, *rest = entry.name.removeprefix(_PREFIX).split(".")
            if not entry.name.startswith(_PREFIX) or not pid.isdecimal() or rest[1:] != [_space()]:
                continue
            if f"{started(int(pid))}" != rest[0]:
                with suppress(OSError):
                    os.rmdir(entry.path)


def own() -> dict[str, str]:
    """Return the paths of our own groups, by the controllers of version 1 as they are named together; "": version 2."""
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
        return {line.split(":", 2)[1]: line.rstrip("\n").split(":", 2)[2] for line in stream}


def _wanted(limits: Mapping[str, int], top: str) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return below which directories groups are made, and what is written to which of their files."""
    ours = own()
    if os.path.exists(f"{top}/cgroup.controllers"):
        parent = _parent(top, ours.get("", "/").strip("/"), {OF[limit] for limit in limits})
        return [(parent, [pair for limit in limits for pair in _second(limit, limits[limit])])]
    found = []
    for limit, value in limits.items():
        together = next((names for names in ours if OF[limit] in names.split(",")), None)
        parent = f"{top}/{together}{ours[together]}".rstrip("/") if together else ""
        if not parent or not os.path.exists(f"{parent}/cgroup.procs"):
            raise HostError(f"--limit {limit}", f"has no control groups here ({OF[limit]} below {top})",
                            hint="mount cgroup2 there, or run it where systemd runs")  # fmt: skip
        found.append((parent, _first(limit, value, parent)))
    return found


def _parent(top: str, own: str, needed: set[str]) -> str:
    """Return the nearest group from our own upwards whose children may have these controllers."""
    path = own
    while True:
        folder = f"{top}/{path}".rstrip("/")
        if _delegates(folder, needed):
            return folder
        if not path:
            raise HostError(f"control group {folder}", f"gives no control over {', '.join(sorted(needed))} to others",
                            hint="in a container, limit the container")  # fmt: skip
        path = path.rpartition("/")[0]


def _delegates(folder: str, needed: set[str]) -> bool:
    file = f"{folder}/cgroup.subtree_control"
    try:
        with open(file, encoding="utf-8") as stream:
            missing = needed - set(stream.read().split())
        if missing:  # refused where it has processes of its own, or has them not itself
            _set(file, " ".join(f"+{name}" for name in sorted(missing)))
    except OSError:
        return False
    return True


def _second(limit: str, value: int) -> list[tuple[str, str]]:
    if limit == "memory":
        return [("memory.max", _number(value)), ("memory.swap.max", "0" if value >= 0 else "max")]
    if limit == "tasks":
        return [("pids.max", _number(value))]
    return [("cpu.max", f"{_number(value * _PERIOD // _ENOUGH)} {_PERIOD}")]


def _number(value: int) -> str:
    return str(value) if value >= 0 else "max"


def _first(limit: str, value: int, parent: str) -> list[tuple[str, str]]:
    if limit == "memory":
        swap, most = "memory.memsw.limit_in_bytes", str(max(value, -1))
        settings = [("memory.limit_in_bytes", most)]
        # Both together are never less than the one: first they go out of its way.
        return [(swap, "-1"), *settings, (swap, most)] if os.path.exists(f"{parent}/{swap}") else settings
    if limit == "tasks":
        return [("pids.max", _number(value))]
    quota = str(value * _PERIOD // _ENOUGH) if value >= 0 else "-1"
    return [("cpu.cfs_period_us", str(_PERIOD)), ("cpu.cfs_quota_us", quota)]


def hold(folder: str, limit: str, value: int) -> None:
    """Hold the group ``folder``, of either version, to ``limit`` (below 0: to none); OSError with the file's name."""
    second = os.path.exists(f"{folder}/cgroup.controllers")
    for file, text in _second(limit, value) if second else _first(limit, value, folder):
        if not file.startswith("memory.swap") or os.path.exists(f"{folder}/{file}"):  # kernels without swap
            _set(f"{folder}/{file}", text)
