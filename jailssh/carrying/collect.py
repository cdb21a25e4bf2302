"""What an archive holds of this host: read under the lock of the set-up, by descriptor, and changed in nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from jailssh.carrying.archive import (
    MAX_FILE,
    Archive,
    CarriedAccount,
    CarriedFile,
    Origin,
    is_group_carried,
    why_no_path,
    why_no_text,
    why_not_carried,
)
from jailssh.change.transaction import Journal
from jailssh.change.undo import Operation
from jailssh.config.account_list import password_hash
from jailssh.config.authorized import is_generated
from jailssh.core.errors import ConfigError, JailsshError, UsageError, raise_all
from jailssh.core.names import check_account_name, escape
from jailssh.core.ports import GROUP_PREFIX
from jailssh.files import fs
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration
from jailssh.services.sshd import FORWARD_GROUP
from jailssh.setup import doors
from jailssh.setup.setup import GROUP
from jailssh.users import locking
from jailssh.users.adduser import subject

PERSONAL = ("users", "keys", "keys.d")
"""The directories whose files are of one account each, by their names."""
MODES = 0o644
"""The bits of a file's mode that an archive carries."""


@dataclass(frozen=True)
class Collected:
    """The archive, and lines about what was left out of it."""

    archive: Archive
    left_out: tuple[str, ...]


def collect(configuration: Configuration, *, secrets: bool = False) -> Collected:
    """Return configuration, keys and accounts of this host; raises every reason why one cannot be carried."""
    layout = configuration.layout
    errors: list[JailsshError] = []
    left: list[str] = []
    files = present(layout, errors, left)
    entries = _entries(configuration, files, errors, left)
    host = _Host(secrets=secrets)
    people: dict[str, CarriedAccount] = {}
    for name, (entry, jails) in sorted(entries.items()):
        try:
            people[name] = _account(layout, entry, jails, host, left)
        except JailsshError as error:
            errors.append(error)
    raise_all(errors)
    for path, each in sorted(files.items()):
        if not secrets and is_secret(path, each):
            left.append(f"{layout.etc}/{path}: not carried, only root may read it; to carry it: --secrets")
            del files[path]
    if not secrets and any(host.passwords[name][0][:1] not in "*!" for name in people if name in host.passwords):
        left.append("passwords: not carried; to carry their hashes: --secrets")
    named = {name for each in people.values() for name in (each.group, *each.groups) if name != each.name}
    groups = {name: gid for name, gid in host.groups.items() if name in named and is_group_carried(name, gid)}
    return Collected(Archive(files, groups, people, secrets), tuple(left))


class _Host:
    """What is read once, however many accounts there are."""

    def __init__(self, *, secrets: bool) -> None:
        self.secrets = secrets
        self.passwords = accounts.all_passwords()
        self.uids, self.groups = accounts.local_uids(), accounts.local_groups()
        self.subuids, self.subgids = map(accounts.subordinate_ranges, ("/etc/subuid", "/etc/subgid"))


def _entries(
    configuration: Configuration, files: dict[str, CarriedFile], errors: list[JailsshError], left: list[str]
) -> dict[str, tuple[AccountEntry, tuple[str, ...]]]:
    """Return the accounts with their jails by name; takes the files of those that are gone out of ``files``."""
    found: dict[str, tuple[AccountEntry, tuple[str, ...]]] = {}
    local = accounts.local_uids()
    owned: dict[str, list[str]] = {}
    for path in files:
        if owner := owner_of(path):
            owned.setdefault(owner, []).append(path)
    jailed = {entry.name: entry for entry in doors.jailed(configuration, errors)}
    for entry in jailed.values():
        if entry.name in local:
            found[entry.name] = (entry, ())
        elif entry.name not in owned:
            left.append(f"account {entry.name}: not carried, it is in a directory service and has no files here")
    for name, paths in sorted(owned.items()):
        try:
            known, user = jailed.get(name) or accounts.find(check_account_name(name)), configuration.user(name)
        except JailsshError as error:
            errors.append(error)
            continue
        if known is None or (user is not None and user.uid != known.uid):
            left.append(f"files of {name}: not carried, the account that they are for is gone")
            for path in paths:
                del files[path]
            found.pop(name, None)
            continue
        found[name] = (known, user.jails if user else ())
    return found


def owner_of(path: str) -> str:
    """Return the account that a path below /etc/jailssh is for, "" for none."""
    folder, _, rest = path.partition("/")
    if folder not in PERSONAL or not rest:
        return ""
    name = rest.split("/")[0]
    return name.removesuffix(".conf") if folder == "users" else name


def is_secret(path: str, each: CarriedFile) -> bool:
    """True for a file of root's alone that is none of those which sshd, the settings or accounts are made of."""
    known = path.split("/")[0] in (*PERSONAL, "jails", "jailssh.conf")
    return not known and not each.mode & 0o004


def present(layout: Layout, errors: list[JailsshError], left: list[str]) -> dict[str, CarriedFile]:
    """Return the files that an archive can hold; what it cannot is an error, what editors leave is left out.

    Keys files that are made of named keys are not among them: they are made again.
    """
    found: dict[str, CarriedFile] = {}
    for path, info in _walk(layout.etc, "", errors, left):
        whole = f"{layout.etc}/{path}"
        try:
            if why := why_no_path(path):
                raise ConfigError(whole, f"cannot be carried: the name {why}", hint="rename it, or move it away")
            data = fs.read_trusted(whole, MAX_FILE, trusted_root=layout.root or None)
            text = data.decode("utf-8", "surrogateescape")
            if why := why_no_text(text):
                raise ConfigError(whole, f"cannot be carried: it {why}", hint="move it out of the directory")
            if not (path.startswith("keys/") and is_generated(text)):
                found[path] = CarriedFile(stat.S_IMODE(info.st_mode) & MODES, text)
        except JailsshError as error:
            errors.append(error)
    return found


def _walk(top: str, below: str, errors: list[JailsshError], left: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    folder = f"{top}/{below}".rstrip("/")
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    for name in names:
        path = f"{below}/{name}".lstrip("/")
        info = os.lstat(f"{top}/{path}")
        if name.startswith(".") or name.endswith("~"):
            left.append(f"{escape(top)}/{escape(path)}: not carried, what editors leave")
        elif stat.S_ISDIR(info.st_mode):
            yield from _walk(top, path, errors, left)
        elif stat.S_ISREG(info.st_mode):
            yield path, info
        else:
            what = "a symbolic link" if stat.S_ISLNK(info.st_mode) else "no file"
            errors.append(ConfigError(f"{escape(top)}/{escape(path)}", f"cannot be carried: it is {what}"))


def _account(
    layout: Layout, entry: AccountEntry, jails: tuple[str, ...], host: _Host, left: list[str]
) -> CarriedAccount:
    name = entry.name
    if "\t" in entry.gecos or why_no_text(entry.gecos):
        raise ConfigError(f"account {name}", "cannot be carried: its gecos is not text", hint=f"chfn {name}")
    before = next((step.args[1] for step in Journal(layout, subject(name)).original if step.op == Operation.SHELL), "")
    hashed, ages = host.passwords.get(name, ("", None))
    expires = ages.expires if ages else None
    locked, expires = _unlocked(layout, entry, expires)
    password = ""
    if host.secrets and hashed:
        try:
            password = password_hash(hashed, f"password of {name}")
        except UsageError as error:
            left.append(f"{error.what}: not carried, it {error.why}")
    own = _own_groups({group for group, _ in entry.groups} - {entry.group})
    odd = [group for group in own if not is_group_carried(group, 1)]
    left += [f"group {escape(group)!r} of {name}: not carried, an archive has no such names" for group in odd]
    account = CarriedAccount(
        name,
        entry.uid,
        entry.gid,
        group=entry.group,
        home=entry.home.rstrip("/") or "/",
        groups=tuple(group for group in own if group not in odd),
        gecos=entry.gecos.strip(),
        shell_before=str(before),
        expires=day(expires),
        locked=locked,
        origin=Origin.LOCAL if name in host.uids else Origin.DIRECTORY,
        jails=tuple(sorted(jails)),
        password=password,
        subuids=_ranges(host.subuids, entry),
        subgids=_ranges(host.subgids, entry),
    )
    # Else nothing of the archive could be read, and that would be found when it is needed.
    if why := why_not_carried(account):
        raise ConfigError(f"account {name}", f"cannot be carried: {why}", hint=f"getent passwd {name}")
    return account


def without_doors(archive: Archive) -> Archive:
    """Return the archive without what its host set to make doors, which one of an older version has."""
    people = {
        name: replace(each, groups=_own_groups(each.groups), expires=day(each.expires))
        for name, each in archive.accounts.items()
    }
    return replace(archive, accounts=people)


def _own_groups(groups: Iterable[str]) -> tuple[str, ...]:
    """Return the groups that are the account's own; those that make doors are for `apply` over there to give."""
    own = {group for group in groups if not group.startswith(GROUP_PREFIX)}
    return tuple(sorted(own - {GROUP, FORWARD_GROUP}))


def day(expires: int | None) -> int | None:
    """Return the day of expiry to carry: not the one that keeps sshd's forwarding apart."""
    end = accounts.end_of(expires)
    # Day 0 is what some programs take for never; the account is expired for those that do not.
    return None if end is None else max(1, end)


def _unlocked(layout: Layout, entry: AccountEntry, expires: int | None) -> tuple[bool, int | None]:
    """Return whether ``jailssh lock`` has locked the account, and when it expires without that."""
    journal = Journal(layout, locking.subject(entry.name))
    if expires != accounts.LOCKED or journal.uid != entry.uid:
        return False, expires
    before = [step.args[1] for step in journal.original if step.op == Operation.EXPIRY]
    return (True, before[0]) if before else (False, expires)


def _ranges(found: dict[str, list[tuple[int, int]]], entry: AccountEntry) -> tuple[tuple[int, int], ...]:
    return tuple(sorted(each for key in {entry.name, str(entry.uid)} for each in found.get(key, ()) if all(each)))
