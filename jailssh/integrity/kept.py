"""What earlier runs have found out and what still holds: facts by area and name, each with what it rests on.

A fact is used again while its stamp is the same; the stamp is made of what changes when the fact may (inode, size,
times of files), so a doubtful case is looked at again.  What is lost or damaged costs time, nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jailssh.core.errors import JailsshError
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.jail.rights_files import stamps_of
from jailssh.services.answers import Answers

VERSION = 1
_ACL = "system.posix_acl_access"
_LIMIT = 256 << 20


def stamp_of(paths: Iterable[str], *more: object) -> str:
    """Return a stamp of files as they are now, links with what they lead to, and of whatever else a fact rests on."""
    seen: list[object] = []
    led_to = []
    for path in paths:
        # One look at each: a run asks about many thousand files, most of which are not there.
        try:
            info = os.lstat(path)
        except OSError:
            seen.append((path, None))
            continue
        seen.append((path, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns))
        if stat.S_ISLNK(info.st_mode):
            led_to.append(os.path.realpath(path))
    return digest((seen, stamps_of(led_to), more))


def digest(value: object) -> str:
    """Return a stamp of a value, by what ``repr`` says of it."""
    return hashlib.sha256(repr(value).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _standing(path: str, _what: str) -> bytes:
    """Return what a directory is that does not change with what is in it."""
    try:
        info = os.stat(path)
        seen = (info.st_mode, info.st_uid, info.st_gid, info.st_dev, info.st_ino, _ACL in os.listxattr(path))
        return repr(seen).encode()
    except OSError as error:
        return repr(error.errno).encode()


class Kept:
    """The facts that are kept in one file below the state directory; ``full``: nothing of before is believed."""

    def __init__(self, layout: Layout, *, full: bool = False) -> None:
        self._path = f"{layout.state}/check/kept.json"
        self._folder = f"{layout.state}/check"
        self._root = layout.root or None
        self._old: dict[str, dict[str, list[Any]]] = {} if full else self._read()
        self._new: dict[str, dict[str, list[Any]]] = {}
        self._changed = full
        self._answers = Answers(_standing)

    def _standing_of(self, paths: Iterable[str]) -> str:
        """Return a stamp of directories; raises :class:`HostError` where one gives no answer."""
        return digest([self._answers.ask(path) for path in paths])

    def _read(self) -> dict[str, dict[str, list[Any]]]:
        try:
            found = json.loads(fs.read_trusted(self._path, _LIMIT, trusted_root=self._root))
            kept = dict(found["kept"]) if found["version"] == VERSION else {}
            return kept if all(isinstance(area, dict) for area in kept.values()) else {}
        except (JailsshError, ValueError, KeyError, TypeError):
            return {}

    def get(self, area: str, name: str, stamp: str, make: Callable[[], Any]) -> Any:
        """Return the fact ``name``: the one that is kept, if its stamp is ``stamp``, else what ``make`` returns now.

        The fact is what JSON can hold.  What ``make`` raises is raised, and nothing is kept.
        """
        old = self._old.get(area, {}).get(name)
        if isinstance(old, list) and len(old) == 2 and old[0] == stamp:
            self._new.setdefault(area, {})[name] = old
            return old[1]
        value = make()
        self._new.setdefault(area, {})[name] = [stamp, value]
        self._changed = True
        return value

    def watched(self, area: str, name: str, stamp: str, make: Callable[[], tuple[Any, Sequence[str]]]) -> Any:
        """Do as :meth:`get` with a fact that also rests on directories, which ``make`` returns beside it.

        Of these count that they are there, owner, group, mode and access lists: their times change with every use.
        Raises :class:`HostError` where one of them gives no answer.
        """
        old = self._old.get(area, {}).get(name)
        if isinstance(old, list) and len(old) == 4 and old[0] == stamp and old[3] == self._standing_of(old[2]):
            self._new.setdefault(area, {})[name] = old
            return old[1]
        value, paths = make()
        self.settle(area, name, self.row(stamp, value, paths))
        return value

    def settled(self, area: str, name: str, stamp: Callable[[], str]) -> Any:
        """Return a fact that :meth:`settle` has put there, None where it does not hold any more or is not known.

        ``stamp`` is called only where one is known.  Raises as :meth:`watched`.
        """
        old = self._old.get(area, {}).get(name)
        if not isinstance(old, list) or len(old) != 4 or old[0] != stamp() or old[3] != self._standing_of(old[2]):
            return None
        self._new.setdefault(area, {})[name] = old
        return old[1]

    def row(self, stamp: str, value: Any, paths: Sequence[str]) -> list[Any]:
        """Return what :meth:`settle` takes: a fact that rests on what ``stamp`` is of and on directories.

        Raises as :meth:`watched`.
        """
        return [stamp, value, list(paths), self._standing_of(paths)]

    def settle(self, area: str, name: str, row: list[Any]) -> None:
        """Put a fact there; ``row`` is what :meth:`row` has returned, in this process or in a copy of it."""
        self._new.setdefault(area, {})[name] = row
        self._changed = True

    def all_of(self, area: str) -> dict[str, Any]:
        """Return what earlier runs have put into an area, by name; empty for a run that believes nothing."""
        return {
            name: row[1] for name, row in self._old.get(area, {}).items() if isinstance(row, list) and len(row) == 2
        }

    def put(self, area: str, facts: Mapping[str, Any]) -> None:
        """Put facts into an area in the place of what it held; they carry what they rest on themselves."""
        self._new[area] = {name: ["", value] for name, value in facts.items()}
        self._changed = self._changed or self._new[area] != self._old.get(area)

    def save(self, *, whole: bool = True) -> None:
        """Write what this run has used: what is gone is forgotten; raises :class:`HostError`.

        Areas that this run has not asked about stay as they are; of one that was not looked at as a ``whole``, so do
        the other facts.
        """
        new = self._new if whole else {area: {**self._old.get(area, {}), **names} for area, names in self._new.items()}
        if not self._changed and all(len(names) == len(self._old.get(area, {})) for area, names in new.items()):
            return
        fs.ensure_dir(self._folder, 0o700, trusted_root=self._root)
        data = json.dumps({"version": VERSION, "kept": {**self._old, **new}}, separators=(",", ":"))
        fs.atomic_write(self._path, data.encode(), 0o600)
