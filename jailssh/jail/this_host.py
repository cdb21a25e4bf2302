"""What definitions ask of this host: its accounts and its programs."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Container
from dataclasses import dataclass
from functools import lru_cache

from jailssh.core.errors import HostError
from jailssh.host import accounts, process
from jailssh.host.paths import Layout
from jailssh.plugin.api import Account

_VERSION_SECONDS = 10.0
SAMPLE_ACCOUNT = Account("user", 60000, 60000, "user", "/home/user")
"""Stands for any account of a jail, where none is meant."""


def find_program(name: str) -> str | None:
    """Return the path of a program of this host with the links in its directory resolved (``/usr/bin/bash``).

    Some are ours, and where this installation has them.
    """
    layout = Layout()
    ours = {"jailssh-refs": layout.refs_program, "jailssh-repos": layout.repos_program}
    path = process.find_program(ours.get(name, name))
    if path is None:
        return None
    head, tail = os.path.split(path)
    return os.path.join(os.path.realpath(head), tail)


def version_of(path: str) -> str | None:
    """Return the first line that the program at ``path`` prints for ``--version``, "" if it fails, None without one."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    state = (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    # What failed may do well later, and a service asks for days.
    return _said_by(path, state) or _said_by(path, state, 1 + int(time.monotonic() / _KEPT))


@lru_cache(maxsize=1 << 6)
def _said_by(path: str, _state: tuple[int, ...], _since: int = 0) -> str:
    try:
        done = process.run([path, "--version"], timeout=_VERSION_SECONDS, check=False)
    except HostError:
        return ""
    return done.stdout.partition("\n")[0] if done.code == 0 else ""


def to_account(entry: accounts.AccountEntry) -> Account:
    """Return the facts about an account that plugins and plans need; a ``/`` at the end of the home is dropped."""
    home = entry.home.rstrip("/") or "/"
    roles = frozenset((entry.name, f"@{entry.group}", *(f"@{name}" for name, _ in entry.groups), "@all"))
    return Account(
        entry.name, entry.uid, entry.gid, entry.group, home, gecos=entry.gecos, groups=entry.groups, roles=roles
    )


def _may_write(info: os.stat_result, uid: int, groups: Container[int]) -> bool:
    bits = stat.S_IWUSR if info.st_uid == uid else stat.S_IWGRP if info.st_gid in groups else stat.S_IWOTH
    return bool(info.st_mode & bits)


MOST_MEMBERS = 256
_KEPT = 60.0
_BELIEVED = 1.0


_HOMES = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Top:
    """A directory at the top of a home; ``own``: the account can make files in it."""

    name: str
    own: bool


class ThisHost:
    """Answers for the host that we run on.  A configuration is given one, so that something else can stand for it."""

    def __init__(self) -> None:
        self._members: dict[str, tuple[float, tuple[tuple[str, int, int], ...]]] = {}
        self._gids: dict[str, tuple[float, int | None]] = {}

    def find_entry(self, who: str | int) -> accounts.AccountEntry | None:
        """Return what NSS says of the account with this name or uid, or None."""
        return accounts.find_uid(who) if isinstance(who, int) else accounts.find(who)

    def find_account(self, who: str | int) -> Account | None:
        """Return the account with this name or uid as :meth:`find_entry` knows it, or None."""
        entry = self.find_entry(who)
        return None if entry is None else to_account(entry)

    def tops_of(self, account: Account) -> tuple[Top, ...] | None:
        """Return the directories at the top of the account's home, sorted, no links; None where it cannot be read."""
        groups = {account.gid, *(gid for _, gid in account.groups)}
        try:
            home = os.open(account.on_host(account.home), _HOMES)
        except OSError:
            return None
        try:
            with os.scandir(home) as inside:
                names = sorted(each.name for each in inside if each.is_dir(follow_symlinks=False))
            found = [(name, os.stat(name, dir_fd=home, follow_symlinks=False)) for name in names]
        except OSError:
            return None
        finally:
            os.close(home)
        return tuple(Top(name, _may_write(info, account.uid, groups)) for name, info in found)

    def members(self, group: str) -> tuple[tuple[str, int, int], ...]:
        """Return (name, uid, gid) of the members of a group; kept for a minute, since many accounts share a group."""
        since, known = self._members.get(group, (0.0, ()))
        if time.monotonic() - since > _KEPT or not since:
            entries = filter(None, map(accounts.find, accounts.members(group)[:MOST_MEMBERS]))
            known = tuple((entry.name, entry.uid, entry.gid) for entry in entries)
            self._members[group] = (time.monotonic(), known)
        return known

    def everybody(self, group: str) -> list[str]:
        """Return the names of all members of a group."""
        return accounts.members(group)

    def expiry(self, name: str) -> int | None:
        """Return when the local account expires, in seconds since 1970; None for never."""
        ages = accounts.password_ages(name)
        return None if ages is None or ages.end is None else ages.end * 86400

    def group_id(self, group: str) -> int | None:
        """Return the gid of a group, None without one; kept as :meth:`members` are."""
        since, known = self._gids.get(group, (0.0, None))
        if time.monotonic() - since > _KEPT or not since:
            known = accounts.group_id(group)
            self._gids[group] = (time.monotonic(), known)
        return known

    def find_program(self, name: str) -> str | None:
        """Do as :func:`find_program`."""
        return find_program(name)

    def version_of(self, path: str) -> str | None:
        """Do as :func:`version_of`."""
        return version_of(path)


class ForOneRun(ThisHost):
    """For one run over many accounts: a program that was found is believed to be there for a second."""

    def __init__(self) -> None:
        super().__init__()
        self._programs: dict[str, tuple[float, str | None]] = {}

    def find_program(self, name: str) -> str | None:
        """Do as :class:`ThisHost` does; hundreds of accounts ask in a second."""
        since, path = self._programs.get(name, (0.0, None))
        if path is None or time.monotonic() - since > _BELIEVED:
            path = super().find_program(name)
            self._programs[name] = (time.monotonic(), path)
        return path


class Remembering(ForOneRun):
    """Asks for each account once: for one run over many that only looks.  Who acts asks anew."""

    def __init__(self) -> None:
        super().__init__()
        self._entries: dict[str | int, accounts.AccountEntry | None] = {}

    def find_entry(self, who: str | int) -> accounts.AccountEntry | None:
        """Do as :class:`ThisHost` does, once; what gets no answer is asked again."""
        if who not in self._entries:
            self._entries[who] = super().find_entry(who)
        return self._entries[who]


THIS_HOST = ThisHost()
