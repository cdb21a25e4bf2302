"""Who and what is on this host, each looked at in one pass: accounts, who of them is in a jail, processes.

The files of accounts are read whole.  Where the name service has other sources too, their accounts in jails are asked
for one by one: a directory service need not list anybody.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
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
    """An account in a jail: its entry, the jails, their combined name, whether it is in the host's own files."""

    entry: AccountEntry
    jails: tuple[str, ...]
    jail: str
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


def _person(configuration: Configuration, kept: Kept, stamp: str, entry: AccountEntry, *, local: bool) -> Person | None:
    """Return the account as one in a jail, None for one that is in none; ``stamp``: of what all accounts rest on."""
    layout = configuration.layout
    files = [f"{layout.users}/{entry.name}.conf", f"{layout.owners}/{entry.name}"]

    def look() -> list[str]:
        try:
            return list(configuration.jails_for(to_account(entry)))
        except NotJailedError:
            return []

    try:
        jails = tuple(kept.get("person", entry.name, stamp_of(files, stamp, entry.uid, entry.groups), look))
    except JailsshError:
        # A file with a mistake is the configuration's own finding; who would be in that jail stays shut out.  It is
        # asked again in the next run: what was wrong may be in no file of these.
        return None
    return Person(entry, jails, combined_name(jails), local) if jails else None


def jailed(
    configuration: Configuration, census: Census, kept: Kept, stamp: str, errors: list[JailsshError]
) -> dict[str, Person]:
    """Return the accounts in a jail by name; whom the name service cannot tell is noted in ``errors``.

    ``stamp``: of what every account's jails rest on.
    """
    names = {*configuration.user_names(), *census.members.get(GROUP, frozenset())}
    for group in configuration.groups():
        names |= census.members.get(group, frozenset())
        if not census.alone:
            names |= _asked(group, errors)
    found = {}
    for name in sorted(names):
        entry = census.entries.get(name) if census.alone else _find(name, errors)
        if entry is None or not entry.uid:
            continue
        if person := _person(configuration, kept, stamp, entry, local=name in census.entries):
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
