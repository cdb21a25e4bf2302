"""``--limit``: what a command and all that it starts may use together."""

from __future__ import annotations

import os
import re

from jailssh.core.errors import HostError, UsageError
from jailssh.entering import ids

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_FORMS = {
    "memory": (r"([1-9][0-9]{0,9})([kmg]?)", "a size of at least 1m, such as 512m"),
    "tasks": (r"([1-9][0-9]{0,6})()", "a number of processes and threads"),
    "cpu": (r"([1-9][0-9]{0,4})()%", "a percentage of one processor, such as 50%"),
}
_LEAST_MEMORY = 1 << 20
_OURS, _OURS_IN_GROUP = 3, 1
"""Processes of jailssh-run's beside the command's: of all of it, and of its first process alone."""


def parse(texts: list[str]) -> dict[str, int]:
    """Return the limits by name: memory in bytes, tasks, cpu in percent of one processor; :class:`UsageError`."""
    found: dict[str, int] = {}
    for text in ",".join(texts).split(",") if texts else ():
        name, _, value = text.partition("=")
        if name not in _FORMS:
            raise UsageError("--limit", f"{text[:60]!r} is none of: memory=SIZE, tasks=NUMBER, cpu=PERCENT%")
        form, what = _FORMS[name]
        match = re.fullmatch(form, value)
        if name in found or not match:
            raise UsageError("--limit", f"{name} is given twice" if match else f"{name}={value[:60]!r} is not {what}")
        found[name] = int(match[1]) * _UNITS[match[2]]
        if name == "memory" and found[name] < _LEAST_MEMORY:
            raise UsageError("--limit", f"{name}={value[:60]!r} is not {what}")
    if found and not ids.is_root():
        raise HostError("--limit", "needs root")
    return found


def hold(limits: dict[str, int]) -> list[str]:
    """Hold what follows to ``limits``: as a scope of systemd's where that runs, which this process is in from then on.

    Elsewhere return the control groups that have been made for the command.  :class:`HostError`.
    """
    if not limits:
        return []
    from jailssh.files import control_groups  # slow to import, as all below, and for few commands
    from jailssh.host import process

    if process.has_systemd():
        _become_scope(limits)
        return []
    own = {name: value + _OURS_IN_GROUP if name == "tasks" else value for name, value in limits.items()}
    return control_groups.make(own, process.start_time)


def give_up(groups: list[str]) -> None:
    """Remove the groups of :func:`hold` which nobody has entered."""
    if groups:
        from jailssh.files import control_groups

        control_groups.remove(groups)


def show(limits: dict[str, int]) -> list[str]:
    """Return the limits for people, a line each."""
    units = {"memory": " bytes, and no swap", "tasks": "", "cpu": "% of one processor"}
    return [f"at most: {name} {value}{units[name]}" for name, value in limits.items()]


def _become_scope(limits: dict[str, int]) -> None:
    from jailssh.entering import scopes
    from jailssh.files import control_groups

    name = f"jailssh-run-{os.getpid()}.scope"
    properties: list[tuple[str, ...]] = []
    for limit, value in limits.items():
        if limit == "memory":
            properties += [("MemoryMax", "t", str(value)), ("MemorySwapMax", "t", "0")]
        elif limit == "tasks":
            properties.append(("TasksMax", "t", str(value + _OURS)))
        else:
            properties.append(("CPUQuotaPerSecUSec", "t", str(value * 10_000)))
    scopes.start(name, os.getpid(), "jailssh run", properties)
    missing = [limit for limit in limits if not control_groups.is_held(limit, name)]
    if missing:  # systemd itself says nothing where it has no such controller, as in a container
        raise HostError("--limit", f"systemd has no control over {', '.join(missing)} here",
                        hint="in a container, limit the container")  # fmt: skip
