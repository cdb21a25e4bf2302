"""Who and what is on this host, each looked at in one pass: accounts, who of them is in a jail, processes.

The files of accounts are read whole.  Where the name service has other sources too, their accounts in jails are asked
for one by one: a directory service need not list anybody.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property

from jailssh.config.jails import combined_name
from jailssh.core.errors import JailsshError
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.integrity.kept import Kept, stamp_of
from jailssh.jail.configuration import Configuration, NotJailedError
from jailssh.jail.this_host import to_account
from jailssh.users.setup import GROUP

_PASSWD, _GROUP_FILE, _SHADOW = "/etc/passwd", "/etc/group", "/etc/shadow"
_SWITCH = "/etc/nsswitch.conf"
_FILES_ONLY = {"files", "compat", "systemd"}
"""Sources of nsswitch.conf(5) that know no person beside those of the files."""


@dataclass(frozen=True)
class Census:
    """The files of accounts, line by line; ``alone``: no other source of accounts is configured."""

    passwd: tuple[tuple[str, ...], ...]
    group: tuple[tuple[str, ...], ...]
    shadow: Mapping[str, tuple[str, ...]]
    alone: bool

    @cached_property
    def names_of(self) -> Mapping[int, tuple[str, ...]]:
        """The names that a uid has in the files."""
        found: dict[int, list[str]] = {}
        for row in self.passwd:
            found.setdefault(int(row[2]), []).append(row[0])
        return {uid: tuple(names) for uid, names in found.items()}

    @cached_property
    def members(self) -> Mapping[str, frozenset[str]]:
        """The members of a group, those whose primary group it is among them."""
        primary: dict[str, list[str]] = {}
        for row in self.passwd:
            primary.setdefault(row[3], []).append(row[0])
        return {row[0]: frozenset((*filter(None, row[3].split(",")), *primary.get(row[2], ()))) for row in self.group}

    @cached_property
    def _memberships(self) -> Mapping[str, list[tuple[str, int]]]:
        found: dict[str, list[tuple[str, int]]] = {}
        for row in self.group:
            for name in filter(None, row[3].split(",")):
                found.setdefault(name, []).append((row[0], int(row[2])))
        return found

    @cached_property
    def entries(self) -> Mapping[str, AccountEntry]:
        """The accounts of the files, by name; of several lines with one name the first counts."""
        groups = {row[2]: row[0] for row in reversed(self.group)}
        found = {}
        for row in reversed(self.passwd):
            name, uid, gid = row[0], int(row[2]), int(row[3])
            group = groups.get(row[3], row[3])
            all_groups = tuple(dict.fromkeys(((group, gid), *self._memberships.get(name, ()))))
            found[name] = AccountEntry(
                name, uid, gid, group=group, home=row[5], shell=row[6], gecos=row[4], groups=all_groups
            )
        return found


@dataclass(frozen=True)
class Person:
    """An account in a jail: its entry, the jails, their combined name, whether a file of its own says so."""

    entry: AccountEntry
    jails: tuple[str, ...]
    jail: str
    by_name: bool
    local: bool = True


@dataclass(frozen=True)
class ProcessSeen:
    """A process: whose it is, its name and program, whether it is in our pid namespace.

    ``uid``: the real one; ``euid``: the effective one, 0 where real and saved ids are root's.
    """

    pid: int
    uid: int
    euid: int
    name: str
    program: str
    here: bool


def take(layout: Layout) -> Census:
    """Read the files of accounts; those of ``layout.root``, where that is another one."""
    passwd = _rows(layout.root + _PASSWD, 7, (2, 3))
    group = _rows(layout.root + _GROUP_FILE, 4, (2,))
    shadow = {row[0]: row for row in reversed(_rows(layout.root + _SHADOW, 9, ()))}
    return Census(passwd, group, shadow, _alone(layout.root + _SWITCH))


def _rows(path: str, fields: int, numbers: tuple[int, ...]) -> tuple[tuple[str, ...], ...]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            rows = [tuple(line.rstrip("\n").split(":")) for line in stream]
    except (FileNotFoundError, PermissionError):
        return ()
    return tuple(row for row in rows if len(row) == fields and row[0] and all(row[at].isdigit() for at in numbers))


def _alone(path: str) -> bool:
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            database, colon, rest = line.partition("#")[0].partition(":")
            if colon and database.strip() in ("passwd", "group", "initgroups"):
                words = {word for word in rest.split() if not word.startswith("[")}
                if words - _FILES_ONLY:
                    return False
    return True


@dataclass
class _Jailing:
    """Who is in which jail, as far as it is kept: configuration is read only for those about whom nothing is."""

    layout: Layout
    census: Census
    load: Callable[[], Configuration]
    kept: Kept
    errors: list[JailsshError]
    common: str = field(init=False)

    def __post_init__(self) -> None:
        folder = self.layout.jails
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        self.common = stamp_of([self.layout.config_file, *(f"{folder}/{name}" for name in names)])

    def groups(self) -> list[str]:
        """Return the groups that bring a jail."""
        found: list[str] = self.kept.get("census", "groups", self.common, lambda: list(self.load().groups()))
        return found

    def person(self, entry: AccountEntry, *, local: bool) -> Person | None:
        """Return the account as one in a jail, None for one that is in none."""
        files = [f"{self.layout.users}/{entry.name}.conf", f"{self.layout.owners}/{entry.name}"]
        stamp = stamp_of(files, self.common, entry.uid, entry.groups)

        def look() -> list[object]:
            try:
                jails = self.load().jails_for(to_account(entry))
            except NotJailedError:
                return []
            return [list(jails), os.path.lexists(files[0])]

        try:
            found = self.kept.get("person", entry.name, stamp, look)
        except JailsshError:
            # A file with a mistake is the configuration's own finding; who would be in that jail stays shut out.  It
            # is asked again in the next run: what was wrong may be in no file of these.
            return None
        if not found:
            return None
        jails = tuple(found[0])
        return Person(entry, jails, combined_name(jails), bool(found[1]), local)


def jailed(
    layout: Layout, census: Census, load: Callable[[], Configuration], kept: Kept, errors: list[JailsshError]
) -> dict[str, Person]:
    """Return the accounts in a jail by name; whom the name service cannot tell is noted in ``errors``."""
    jailing = _Jailing(layout, census, load, kept, errors)
    suffix = ".conf"
    files = os.listdir(layout.users) if os.path.isdir(layout.users) else []
    names = {name.removesuffix(suffix) for name in files if name.endswith(suffix) and not name.startswith(".")}
    names |= census.members.get(GROUP, frozenset())
    for group in jailing.groups():
        names |= census.members.get(group, frozenset())
        if not census.alone:
            names |= _asked(group, errors)
    found = {}
    for name in sorted(names):
        local = name in census.entries
        entry = census.entries.get(name) if census.alone else _find(name, errors)
        if entry is not None and entry.uid and (person := jailing.person(entry, local=local)):
            found[name] = person
    return found


def _asked(group: str, errors: list[JailsshError]) -> set[str]:
    try:
        return set(accounts.members(group))
    except JailsshError as error:
        errors.append(error)
        return set()


def _find(name: str, errors: list[JailsshError]) -> AccountEntry | None:
    try:
        return accounts.find(name)
    except JailsshError as error:
        errors.append(error)
        return None


def processes() -> tuple[ProcessSeen, ...]:
    """Return the processes of this host; one that ends meanwhile is left out."""
    here = _link("/proc/self/ns/pid")
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/status", "rb") as stream:
                text = stream.read()
        except OSError:
            continue
        fields = {key: rest for key, _, rest in (line.partition(b":") for line in text.split(b"\n"))}
        uids = fields.get(b"Uid", b"").split()
        if len(uids) < 3:
            continue
        comm = fields.get(b"Name", b"").strip().decode("utf-8", "surrogateescape")
        uid, euid, saved = map(int, uids[:3])
        # Root that has taken on an account's ids for a moment (sshd, a file server) is not the account's to control.
        euid = euid if uid or saved else 0
        # The links are read of people's processes alone: those of the system are many, and nobody asks.
        of_people = bool(uid or euid)
        program, same = (_link(f"/proc/{name}/exe"), _link(f"/proc/{name}/ns/pid") == here) if of_people else ("", True)
        found.append(ProcessSeen(int(name), uid, euid, comm, program, same))
    return tuple(found)


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
