"""Sessions as lines and as facts."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from jailssh.core.names import escape, pluralize
from jailssh.sessions.live import Told, ToldOfConnection, ToldOfKept
from jailssh.sessions.outside import Stray

CLEAR = "\033[H\033[2J"
"""Empties a terminal."""
_RED, _PLAIN = "\033[31m", "\033[0m"
_HEAD = ("SESSION", "USER", "KEY", "JAIL", "PIDS", "SINCE", "CPU", "MEMORY", "IN", "OUT", "PEER", "COMMAND")
_RIGHT = frozenset(("CPU", "MEMORY", "IN", "OUT"))
_UNITS = "KMGT"


def facts(each: Told | ToldOfConnection) -> dict[str, Any]:
    """Return a session for JSON; what nobody tells is null."""
    found = asdict(each)
    found["since"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(each.since))
    for name in ("sent", "received"):
        found[name] = None if found[name] < 0 else found[name]
    return found


def lines(
    sessions: Sequence[Told],
    connections: Iterable[ToldOfConnection],
    kept: Iterable[ToldOfKept],
    strays: Iterable[Stray],
    *,
    colour: bool,
) -> Iterator[str]:
    """Give the table, connections without a session, the background, and processes in no jail, in red on a terminal."""
    if sessions:
        yield from _table([_HEAD, *(_row(each) for each in sessions)])
    else:
        yield "no session in a jail"
    for each in connections:
        moved = f"{_size(each.received)} in, {_size(each.sent)} out"
        where = each.peer or "an unknown place"
        begun = f"process {each.pid}, since {_moment(each.since)}"
        yield f"{each.user}: connection without a session from {where}, {begun}, {moved}"
    for rest in kept:
        yield f"background of {rest.user}: {pluralize(len(rest.pids), 'process', 'es')}, {_pids(rest.pids)}"
    for stray in strays:
        where = "in namespaces of others" if stray.elsewhere else "outside of any jail"
        line = f"{stray.user}: process {stray.pid} is {where}: {escape(stray.program, 200)}"
        yield f"{_RED}{line}{_PLAIN}" if colour else line


def _row(each: Told) -> tuple[str, ...]:
    return (
        each.session or "-", each.user, each.key or "-", each.jail or "-", _pids(each.pids), _moment(each.since),
        _seconds(each.cpu), _size(each.memory), _size(each.received), _size(each.sent),
        each.peer or ("entered" if each.entered else "-"),
        "(interactive)" if each.command is None else each.command,
    )  # fmt: skip


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    for row in rows:
        cells = [f"{cell:>{width}}" if name in _RIGHT else f"{cell:<{width}}"
                 for name, cell, width in zip(_HEAD, row, widths, strict=True)]  # fmt: skip
        yield "  ".join(cells).rstrip()


def _pids(pids: Sequence[int]) -> str:
    return f"{pids[0]}+{len(pids) - 1}" if len(pids) > 1 else str(pids[0])


def _moment(since: float) -> str:
    now = time.time()
    return time.strftime("%H:%M:%S" if now - since < 43200 else "%b %d %H:%M", time.localtime(since))


def _seconds(cpu: float) -> str:
    return f"{cpu:.1f}s" if cpu < 600 else f"{cpu / 60:.0f}m"


def _size(count: int) -> str:
    if count < 0:
        return "-"
    number, unit = float(count), ""
    for unit_ in _UNITS:
        if number < 1000:
            break
        number, unit = number / 1024, unit_
    return f"{number:.1f}{unit}" if unit and number < 10 else f"{number:.0f}{unit}"
