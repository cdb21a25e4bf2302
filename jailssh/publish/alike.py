"""Changes that several accounts of a jail have in common but for each one's own name, uid and home.

They are compared by what is told of them.  An account's own words are left open only where plans have them, as parts
of paths and as its variables: of accounts called ``a``, ``run`` or ``read-only`` nothing else is.  Where it is not
sure that two are the same they are two.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from jailssh.core.errors import JailsshError
from jailssh.host.accounts import AccountEntry
from jailssh.plan.compile import log_sockets
from jailssh.publish.publish import PlanChange

_HOME, _NAME, _UID = "\0h", "\0n", "\0u"
"""What stands for an account's own; no line has a NUL."""
_UNKNOWN = "\0"
_PATH = re.compile(r"(?<=[ =])/[^ ,:]++(?=\Z|, |: | of the host at | hidden and not writable\Z| first\Z)")
_NAMED = ("environment LOGNAME=", "environment USER=", "  inserts ")
"""What is before a name that a plan has by itself."""
_OF_KEYS = ("\n+ key ", "\n- key ", "\n~ key ", "\n- the plans of the keys ", " lines added, ")
"""Of keys that have one name in two accounts nothing says that they are the same."""
_SHORTENED = "… ("
"""What is longer is not told: :mod:`jailssh.plan.words`."""
_GENERATED = "\n+ generated file ", "\n~ generated file "
"""Their texts are not told, and have the account's group."""


@dataclass(frozen=True)
class Alike:
    """Changes of one jail, in their order, that are told by the lines of the first."""

    changes: list[PlanChange]

    @property
    def first(self) -> PlanChange:
        """The one whose lines are told."""
        return self.changes[0]

    def names(self) -> list[str]:
        """Return the names of the accounts, each once."""
        each = dict.fromkeys((change.name, change.uid) for change in self.changes)
        return [name or f"uid {uid}" for name, uid in each]


def grouped(changes: Sequence[PlanChange], find: Callable[[str], AccountEntry | None]) -> list[Alike]:
    """Return the changes by jail, within it as they are given, those that are the same as one.

    ``find`` is asked for the accounts by name.  Once it gets no answer the others are told by themselves.
    """
    of_jails: dict[str, list[PlanChange]] = {}
    for change in changes:
        of_jails.setdefault(change.jail, []).append(change)
    found: list[Alike] = []
    asked: Callable[[str], AccountEntry | None] | None = find
    for _, those in sorted(of_jails.items()):
        # Digests, since the texts of ten thousand that differ would fill the memory.
        known: dict[bytes, Alike] = {}
        for change in those:
            digest = b""
            if asked and len(those) > 1:
                try:
                    digest = _digest(change, asked)
                except JailsshError:
                    asked = None
            if digest in known:
                known[digest].changes.append(change)
                continue
            found.append(Alike([change]))
            if digest:
                known[digest] = found[-1]
    return found


def _digest(change: PlanChange, find: Callable[[str], AccountEntry | None]) -> bytes:
    """Return what is the same for changes that are told as one; empty for one that is told by itself."""
    text = "\n".join(("", *change.lines, ""))
    if not change.uid or _SHORTENED in text or any(words in text for words in _OF_KEYS):
        return b""
    entry = find(change.name) if change.name else None
    if entry is not None and entry.uid != change.uid:
        entry = None  # It has the name of one that is gone.
    group = ""
    if entry is not None and any(words in text for words in _GENERATED):
        group = _NAME if entry.group == entry.name else str(entry.gid)
    told = "\n".join((group, *_left_open(change, "" if entry is None else entry.home.rstrip("/"))))
    return hashlib.blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _left_open(change: PlanChange, home: str) -> Sequence[str]:
    """Return the lines without what is the account's own; ``home`` is "" where it is not known."""
    name, uid = change.name, str(change.uid)
    if not name:
        return change.lines
    own = _Own(name, uid, home or _UNKNOWN, log_sockets(change.uid), f"{name}-{uid}-")
    # Most lines have nothing of an account's own, and of ten thousand accounts there are a million.
    return [own.left_open(line) if name in line or uid in line or own.home in line else line for line in change.lines]


class _Own(NamedTuple):
    """What is an account's own, as it stands in lines."""

    name: str
    uid: str
    home: str
    sockets: str
    set_aside: str

    def left_open(self, line: str) -> str:
        """Return the line without it."""
        if line.endswith(self.name) and line[2 : -len(self.name)] in _NAMED:
            return line[: -len(self.name)] + _NAME
        return _PATH.sub(self._path, line)

    def _path(self, match: re.Match[str]) -> str:
        path = match[0]
        if path == self.sockets:
            return path.removesuffix(self.uid) + _UID
        if path == self.home or path.startswith(f"{self.home}/"):
            top, rest = _HOME, path[len(self.home) :]
        else:
            # What is at the top of a root is nobody's own: /home, /run, /srv.
            at = path.find("/", 1)
            top, rest = (path, "") if at < 0 else (path[:at], path[at:])
        return top + "/".join(map(self._part, rest.split("/"))) if self.name in rest else top + rest

    def _part(self, part: str) -> str:
        if part.startswith(self.set_aside):
            return f"{_NAME}-{_UID}-{part[len(self.set_aside) :]}"
        return _NAME if part == self.name else part
