"""Who and what is on this host, each looked at in one pass: accounts, who of them is in a jail, processes.

The files of accounts are read whole.  Where the name service has other sources too, their accounts in jails are asked
for one by one: a directory service need not list anybody.
"""

from __future__ import annotations

import glob
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakValueDictionary

from jailssh.config.jails import combined_name
from jailssh.core.errors import JailsshError
from jailssh.core.names import is_number
from jailssh.host import accounts, process
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.integrity.kept import Kept, stamp_of
from jailssh.jail.configuration import Configuration, NotJailedError
from jailssh.jail.this_host import to_account
from jailssh.setup import people
from jailssh.setup.setup import GROUP

_PASSWD, _GROUP_FILE, _SHADOW = "/etc/passwd", "/etc/group", "/etc/shadow"
_SWITCH = "/etc/nsswitch.conf"
_FILES_ONLY = ("files", "compat", "systemd")
"""Sources of nsswitch.conf(5) that know no person beside those of the files, unless there is more to them."""
_LISTED = ("passwd", "group")
_DATABASES = (*_LISTED, "initgroups")
_ACTION = re.compile(r"\[[^]]*\]")
_USERDB = ("/run/systemd/userdb/io.systemd.Home", "/etc/userdb/*.user", "/run/userdb/*.user", "/usr/lib/userdb/*.user",
           "/usr/local/lib/userdb/*.user", "/run/host/userdb/*.user")  # fmt: skip
"""With one of these nss-systemd(8) knows persons."""
_FIELDS = 7
_AT_ONCE = 500
_PATIENCE = 20.0


@dataclass(frozen=True)
class Census:
    """The files of accounts, line by line; ``sources``: others that know persons, as in nsswitch.conf(5)."""

    passwd: tuple[tuple[str, ...], ...]
    group: tuple[tuple[str, ...], ...]
    shadow: Mapping[str, tuple[str, ...]]
    sources: tuple[str, ...] = ()

    @property
    def alone(self) -> bool:
        """True if no other source of accounts is configured."""
        return not self.sources

    @cached_property
    def names_of(self) -> Mapping[int, tuple[str, ...]]:
        """The names that a uid has in the files."""
        found: dict[int, list[str]] = {}
        for row in self.passwd:
            found.setdefault(int(row[2]), []).append(row[0])
        return {uid: tuple(names) for uid, names in found.items()}

    @cached_property
    def gids(self) -> Mapping[str, int]:
        """The gid of each group of the files; of several lines with one name the first counts."""
        return {row[0]: int(row[2]) for row in reversed(self.group)}

    @cached_property
    def members(self) -> Mapping[str, frozenset[str]]:
        """The members of a group, those whose primary group it is among them."""
        primary: dict[str, list[str]] = {}
        for row in self.passwd:
            primary.setdefault(row[3], []).append(row[0])
        return {row[0]: frozenset((*accounts.listed(row[3]), *primary.get(row[2], ()))) for row in self.group}

    @cached_property
    def hashes(self) -> Mapping[str, str]:
        """What an account's password is held against, by name: pam_unix(8) reads shadow(5) for an "x" alone."""
        shadow = {name: row[1] for name, row in self.shadow.items()}
        return shadow | {row[0]: row[1] for row in reversed(self.passwd) if row[1] != "x"}

    @cached_property
    def _memberships(self) -> Mapping[str, list[tuple[str, int]]]:
        found: dict[str, list[tuple[str, int]]] = {}
        for row in self.group:
            for name in accounts.listed(row[3]):
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


_TAKEN: WeakValueDictionary[tuple[object, ...], Census] = WeakValueDictionary()
"""What was made of the same files and is still used: a run that reads them anew mostly finds them as they were."""


def take(layout: Layout) -> Census:
    """Read the files of accounts; those of ``layout.root``, where that is another one.

    They are read each time.  Where every byte and the sources are as before, what was made of them then is returned.
    """
    root = layout.root
    data = [_content(root + path) for path in (_PASSWD, _GROUP_FILE, _SHADOW)]
    sources = _sources(root)
    key = (root, *(hashlib.sha256(each).digest() for each in data), sources)
    if (known := _TAKEN.get(key)) is not None:
        return known
    texts: dict[str, str] = {}
    passwd = _rows(data[0], 7, (2, 3), texts)
    group = _rows(data[1], 4, (2,), texts)
    shadow = {row[0]: row for row in reversed(_rows(data[2], 9, (), texts))}
    _TAKEN[key] = found = Census(passwd, group, shadow, sources)
    return found


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except (FileNotFoundError, PermissionError):
        return b""


def _rows(data: bytes, fields: int, numbers: tuple[int, ...], texts: dict[str, str]) -> tuple[tuple[str, ...], ...]:
    """Return the lines that have so many fields, and numbers there; equal ``texts`` are kept once."""
    rows = []
    for line in io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape", "\n"):
        row = line.rstrip("\n").split(":")
        if len(row) == fields and row[0] and all(is_number(row[at]) for at in numbers):
            rows.append(tuple([texts.setdefault(text, text) for text in row]))
    return tuple(rows)


def _sources(root: str) -> tuple[str, ...]:
    """Return the sources of accounts and groups that know persons beside those of the files (nsswitch.conf(5))."""
    named = _databases(root)
    found: dict[str, None] = {}
    for database in _DATABASES:
        words = named.get(database, ())
        found.update(dict.fromkeys(word for word in words if word not in _FILES_ONLY))
        if "compat" in words and (database == "initgroups" or _includes(f"{root}/etc/{database}")):
            found.update(dict.fromkeys(named.get(f"{database}_compat", ["nis"])))
        if "systemd" in words and any(glob.glob(root + pattern) for pattern in _USERDB):
            found["systemd"] = None
    return tuple(found)


def _databases(root: str) -> Mapping[str, list[str]]:
    """Return the sources of each database of nsswitch.conf(5)."""
    named: dict[str, list[str]] = {}
    with suppress(OSError), open(root + _SWITCH, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            database, colon, rest = line.partition("#")[0].partition(":")
            if colon:
                named[database.strip()] = _ACTION.sub(" ", rest).split()
    return named


def _includes(path: str) -> bool:
    """True if a file of accounts takes in others by lines that begin with a plus, as ``compat`` reads it."""
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        return any(line.startswith("+") for line in stream)
    return False


def given_by_systemd() -> frozenset[str]:
    """Return the names and numbers of accounts and groups that nss-systemd(8) has now, beside those of the files.

    Of a host without its own sources these are the users of running services with DynamicUser=, which it lists.
    Raises :class:`HostError` where it gives no answer.
    """
    named = _databases("")
    found: set[str] = set()
    for database in _LISTED:
        if "systemd" in named.get(database, ()):
            done = process.run(["getent", "-s", f"{database}:systemd", database], timeout=_PATIENCE)
            for row in (line.split(":") for line in done.stdout.splitlines()):
                found.update(row[:1], row[2:3])
    return frozenset(found)


def names_elsewhere(census: Census, uids: Iterable[int]) -> dict[int, list[str]]:
    """Return the names that other sources than the files have for these uids; :class:`HostError` where one is away.

    Each source is asked by itself: the name service as a whole gives the first name alone.
    """
    found: dict[int, list[str]] = {}
    known = {str(uid): None for uid in uids}
    for row in _rows_elsewhere(census, list(known)):
        if row[2] in known:
            found.setdefault(int(row[2]), []).append(row[0])
    return found


def uids_elsewhere(census: Census, names: Iterable[str]) -> dict[str, list[int]]:
    """Return the uids that other sources than the files have for these names; raises as :func:`names_elsewhere`."""
    found: dict[str, list[int]] = {}
    known = {name: None for name in names if not is_number(name)}
    for row in _rows_elsewhere(census, list(known)):
        if row[0] in known and is_number(row[2]):
            found.setdefault(row[0], []).append(int(row[2]))
    return found


def _rows_elsewhere(census: Census, wanted: Sequence[str]) -> Iterator[list[str]]:
    for source in census.sources:
        for start in range(0, len(wanted), _AT_ONCE):
            argv = ["getent", "-s", f"passwd:{source}", "passwd", *wanted[start : start + _AT_ONCE]]
            # Where one of them is not known the exit status is 2, and the others are printed all the same.
            # Not str.splitlines: in a directory, as by chfn(1), people can have U+2028 and the like in their lines.
            for line in process.run(argv, check=False, timeout=_PATIENCE).stdout.split("\n"):
                if len(row := line.split(":")) == _FIELDS:
                    yield row


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
    configuration: Configuration,
    census: Census,
    kept: Kept,
    stamp: str,
    errors: list[JailsshError],
    also: Iterable[str] = (),
) -> dict[str, Person]:
    """Return the accounts in a jail by name; whom the name service cannot tell is noted in ``errors``.

    ``stamp``: of what every account's jails rest on.  Of a directory service those are looked at that
    :mod:`jailssh.setup.people` names, and ``also``.
    """
    names = {*configuration.user_names(), *census.members.get(GROUP, frozenset())}
    for group in configuration.groups():
        names |= census.members.get(group, frozenset())
    if not census.alone:
        names |= {*people.known(configuration), *also}
        local = {*names, *census.entries}
        for group in configuration.groups():
            names |= people.some(_asked(group, errors), local)
    found = {}
    for name in sorted(names):
        entry = census.entries.get(name) if census.alone else _find(name, errors)
        if entry is None or not entry.uid:
            continue
        own = census.entries.get(name)
        if person := _person(configuration, kept, stamp, entry, local=own is not None and own.uid == entry.uid):
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
