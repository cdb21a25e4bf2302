"""Accounts whose denied commands are being collected for a bounded time.

A file per uid, root's alone, says from when to when.  It widens nothing: what is denied stays denied and is recorded
as ever; the time only says which records ``jailssh learn --suggest`` reads.  It is over by itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

from jailssh.core.errors import ConfigError, HostError
from jailssh.core.identity import Identity, is_same
from jailssh.core.names import is_number
from jailssh.files import fs
from jailssh.host.paths import Layout

_MAX_FILE = 4096


@dataclass(frozen=True)
class Learning:
    """The account, and the time in which its denied commands count: seconds since 1970."""

    uid: int
    name: str
    since: float
    until: float

    def running(self, now: float) -> bool:
        """True if the time is not over."""
        return now < self.until


def read(layout: Layout, uid: int, name: str) -> Learning | None:
    """Return the time of an account, running or over; None without one, or if the uid was another account's then."""
    found = _read(layout, uid)
    return found if is_same(Identity(name, uid), found) else None


def every(layout: Layout) -> list[Learning]:
    """Return all, by account name."""
    try:
        uids = sorted(int(name) for name in os.listdir(_folder(layout)) if is_number(name))
    except FileNotFoundError:
        return []
    found = [one for uid in uids if (one := _read(layout, uid)) is not None]
    return sorted(found, key=lambda one: one.name)


def write(layout: Layout, learning: Learning) -> None:
    """Put an account's time in place of an earlier one."""
    with _locked(layout):
        fs.atomic_write(_file(layout, learning.uid), _text(learning), 0o600)


def _text(learning: Learning) -> bytes:
    return json.dumps(asdict(learning)).encode() + b"\n"


def renamed(layout: Layout, uid: int, old: str, new: str) -> tuple[str, bytes] | None:
    """Return the file of an account's time and what it must hold once the account is called ``new``; None without."""
    found = read(layout, uid, old)
    return None if found is None else (_file(layout, uid), _text(replace(found, name=new)))


def forget(layout: Layout, uid: int) -> bool:
    """Remove an account's time; False if there was none."""
    with _locked(layout):
        return fs.remove_file(_file(layout, uid))


def _read(layout: Layout, uid: int) -> Learning | None:
    path = _file(layout, uid)
    try:
        data = fs.read_trusted(path, _MAX_FILE, trusted_root=layout.root or None)
    except HostError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    try:
        row = json.loads(data)
        found = Learning(int(row["uid"]), str(row["name"]), float(row["since"]), float(row["until"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ConfigError(path, "is damaged", hint="start again: jailssh learn USER") from error
    if found.uid != uid:
        raise ConfigError(path, f"contains uid {found.uid}, expected {uid}", hint="start again: jailssh learn USER")
    return found


@contextmanager
def _locked(layout: Layout) -> Iterator[None]:
    fs.ensure_dir(_folder(layout), 0o700, trusted_root=layout.root or None)
    with fs.lock(f"{_folder(layout)}/.lock", trusted_root=layout.root or None):
        yield


def _folder(layout: Layout) -> str:
    return f"{layout.state}/learn"


def _file(layout: Layout, uid: int) -> str:
    return f"{_folder(layout)}/{uid}"
