"""Limits on when, from where and how much a jail is used: from settings to what the plan compiler takes.  Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from jailssh.config import times
from jailssh.config.reader import Document, Item, did_you_mean
from jailssh.config.settings import Setting
from jailssh.config.values import UNSET, parse
from jailssh.core.closed import Word
from jailssh.core.errors import ConfigError, JailsshError
from jailssh.plan.compile import Access, LogRate

CLASSES = "bandwidth"
"""The section of the main file that gives names to bandwidths, as in ``slow = 512K``."""

LOG_MOST = 10**9
_QUOTA_UNIT = 1 << 16
"""Bytes that every file system can count a quota in: XFS rounds to its blocks, which are never larger."""
_CLASS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}\Z")


class Quota(Word):
    """The settings of the section ``limits`` that file systems keep: bytes and files of an account (quotactl(2))."""

    DISK = "disk"
    FILES = "files"


def read_classes(document: Document, errors: list[JailsshError]) -> tuple[Item, ...]:
    """Return the named bandwidths of the main file, in bytes per second; adds to ``errors`` what is malformed."""
    found: list[Item] = []
    for name, entry in document.entries.get(CLASSES, {}).items():
        try:
            if not _CLASS.match(name):
                raise ValueError("is not a name: letters, digits, '_', '-', beginning with a letter")
            rate = parse("rate", entry.raw)
            if not isinstance(rate, int) or rate == UNSET:
                raise ValueError(f"{entry.raw!r} is not a size such as 512K, 64M or 2G")
            found.append(Item(Setting(CLASSES, name, "rate", "", ""), rate, entry.raw, entry.origin))
        except ValueError as error:
            errors.append(ConfigError(entry.origin, f"[{CLASSES}] {name}: {error}"))
    return tuple(found)


def access_of(items: Mapping[str, Item], classes: Mapping[str, int], offsets_of: Callable[[], times.Offsets]) -> Access:
    """Return the limits in ``items``, which holds those of a jail's section ``limits`` by name.

    ``classes``: the named bandwidths; ``offsets_of`` gives the offsets of local time and is only asked where a limit
    speaks of local time.  Raises :class:`ConfigError` for a bandwidth that has no such name.
    """
    hours = tuple(span for text in _texts(items["hours"]) for span in times.hours(text))
    expires = items["expires"].value
    offsets = offsets_of() if hours or expires else ()
    return Access(
        sessions=_number(items["max_sessions"]),
        key_sessions=_number(items["max_sessions_per_key"]),
        duration=_number(items["max_duration"]),
        idle=_number(items["idle_timeout"]),
        nice=_number(items["nice"]),
        bandwidth=_rate(items["bandwidth"], classes),
        addresses=_texts(items["addresses"]),
        hours=hours,
        offsets=tuple(offsets),
        expires=times.since_1970(times.moment(expires), offsets) if expires and isinstance(expires, str) else 0,
    )


def log_rate_of(items: Mapping[str, Item]) -> LogRate:
    """Return what an account may log by ``items``, as for :func:`access_of`."""
    base, peak, interval = (_number(items[name]) for name in ("log_base", "log_peak", "log_interval"))
    if not 1 <= base <= peak <= LOG_MOST:
        item = items["log_base" if base < 1 else "log_peak"]
        why = "is smaller than log_base" if base >= 1 and peak <= LOG_MOST else "is not from 1 to 1000000000 bytes"
        raise ConfigError(item.origin, f"{item.setting.name}: {item.raw} {why}")
    return LogRate(base=base, peak=peak, interval=interval)


def slice_of(items: Mapping[str, Item], memory: int) -> dict[str, str]:
    """Return what all sessions of an account are held to together, as properties of systemd.resource-control(5).

    ``items`` as for :func:`access_of`; ``memory``: what the host has, in bytes.
    """
    most, found = items["memory"].value, {}
    if isinstance(most, str):
        most = memory * int(most.removesuffix("%")) // 100
    if most != UNSET:
        found = {"MemoryMax": f"{most}", "MemorySwapMax": f"{most}"}
    for name, prop, unit in (
        ("tasks", "TasksMax", ""), ("cpu_quota", "CPUQuota", "%"),
        ("cpu_weight", "CPUWeight", ""), ("io_weight", "IOWeight", ""),
    ):  # fmt: skip
        if items[name].value != UNSET:
            found[prop] = f"{items[name].value}{unit}"
    return found


def quota_of(items: Mapping[str, Item]) -> dict[str, int]:
    """Return what an account may fill by ``items``, as for :func:`access_of`: bytes and files, those that are set."""
    found: dict[str, int] = {name: _number(items[name]) for name in Quota if items[name].value != UNSET}
    for name, number in found.items():
        if not number:
            raise ConfigError(items[name].origin, f"{name}: {items[name].raw} allows nothing; empty means no limit")
    return {name: -(-number // _QUOTA_UNIT) * _QUOTA_UNIT if name == Quota.DISK else number
            for name, number in found.items()}  # fmt: skip


def _number(item: Item) -> int:
    return item.value if isinstance(item.value, int) and item.value != UNSET else 0


def _texts(item: Item) -> tuple[str, ...]:
    return item.value if isinstance(item.value, tuple) else ()


def _rate(item: Item, classes: Mapping[str, int]) -> int:
    if not isinstance(item.value, str):
        return _number(item)
    if item.value not in classes:
        hint = (
            did_you_mean(item.value, classes) or f"add it to [{CLASSES}] of the main file, as in: {item.value} = 512K"
        )
        raise ConfigError(item.origin, f"bandwidth: class {item.value!r} does not exist", hint=hint)
    return classes[item.value]
