"""What a jail's image was before: its generations with their dates, a pin, and the last update that failed.

These files are for people and for going back; the link ``current`` alone says which image a jail has.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from jailssh.core.errors import HostError
from jailssh.core.names import check_jail_name
from jailssh.files import fs
from jailssh.host.paths import Layout

_LIMIT = 1 << 20
_KEEP = 50
BUILT, ROLLBACK, PULLED = "built", "rollback", "pulled"
"""How a generation became current: made here, gone back to, or made by another host."""


@dataclass(frozen=True)
class HistoryStep:
    """A generation that became current at ``time`` (seconds since 1970); ``how``: one of the words above."""

    generation: str
    time: int
    how: str


@dataclass(frozen=True)
class History:
    """A jail's steps, the newest last.  ``pinned``: no automatic update; an administrator went back, or has pulled."""

    steps: tuple[HistoryStep, ...] = ()
    pinned: bool = False

    @property
    def pulled(self) -> bool:
        """True for a jail that is held at an image which another host has made."""
        return self.pinned and bool(self.steps) and self.steps[-1].how == PULLED

    def generations(self) -> tuple[str, ...]:
        """Return the generations, each once, the one that was current last first."""
        return tuple(dict.fromkeys(step.generation for step in reversed(self.steps)))


@dataclass(frozen=True)
class Failure:
    """An update that failed at ``time`` and why, line by line; the jail keeps its old generation."""

    time: int
    lines: tuple[str, ...]


def jail_dir(layout: Layout, jail: str) -> str:
    """Return the directory of a jail's link, lock and history."""
    return f"{layout.images}/{check_jail_name(jail, combined=True)}"


def read_history(layout: Layout, jail: str) -> History:
    """Return the history of a jail; a damaged or distrusted file is as good as none."""
    try:
        data = _read(layout, f"{jail_dir(layout, jail)}/history.json")
        steps = tuple(HistoryStep(str(row["generation"]), int(row["time"]), str(row["how"])) for row in data["steps"])
        return History(steps, data["pinned"] is True)
    except (HostError, ValueError, KeyError, TypeError):
        return History()


def add_step(layout: Layout, jail: str, generation: str, how: str, *, pinned: bool = False) -> None:
    """Note that ``generation`` is current from now on; the jail's lock is held."""
    old = read_history(layout, jail)
    steps = old.steps
    # What was built here may be what is pulled: from then on another host decides about it.
    if not steps or steps[-1].generation != generation or (how == PULLED != steps[-1].how):
        steps = (*steps, HistoryStep(generation, int(time.time()), how))[-_KEEP:]
    new = replace(old, steps=steps, pinned=pinned)
    if new != old:
        _write(f"{jail_dir(layout, jail)}/history.json", asdict(new))


def drop_steps(layout: Layout, jail: str, generation: str) -> None:
    """Forget that ``generation`` was ever current; the jail's lock is held."""
    old = read_history(layout, jail)
    new = replace(old, steps=tuple(step for step in old.steps if step.generation != generation))
    if new != old:
        _write(f"{jail_dir(layout, jail)}/history.json", asdict(new))


def mark_failed(layout: Layout, jail: str, lines: list[str]) -> None:
    """Leave a mark that ``jailssh image list`` shows: the update of this jail failed."""
    fs.ensure_dir(jail_dir(layout, jail), 0o755)
    _write(f"{jail_dir(layout, jail)}/failed.json", asdict(Failure(int(time.time()), tuple(lines))))


def clear_failed(layout: Layout, jail: str) -> None:
    """Remove the mark of an earlier failure."""
    fs.remove_file(f"{jail_dir(layout, jail)}/failed.json")


def failed_update(layout: Layout, jail: str) -> Failure | None:
    """Return the failure of the jail's last update, None if it went well."""
    try:
        data = _read(layout, f"{jail_dir(layout, jail)}/failed.json")
        return Failure(int(data["time"]), tuple(map(str, data["lines"])))
    except HostError as error:
        return None if isinstance(error.__cause__, FileNotFoundError) else Failure(0, tuple(error.lines()))
    except (ValueError, KeyError, TypeError):
        return Failure(0, ("the mark of a failed update is damaged",))


def _read(layout: Layout, path: str) -> dict[str, Any]:
    data = json.loads(fs.read_trusted(path, _LIMIT, trusted_root=layout.root or None))
    if not isinstance(data, dict):
        raise ValueError(path)
    return data


def _write(path: str, data: object) -> None:
    fs.atomic_write(path, json.dumps(data).encode(), 0o644)
