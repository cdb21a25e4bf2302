"""What an import would do with accounts and groups: made as they were, or here already, or a reason against it."""

from __future__ import annotations

import os
from collections.abc import Collection

from jailssh.carrying.archive import Archive, CarriedAccount, Origin
from jailssh.carrying.collect import day
from jailssh.carrying.compare import Comparison
from jailssh.config.files import read_user
from jailssh.core.errors import ConfigError, DeniedError, JailsshError, UsageError, parts
from jailssh.host import accounts, install
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration
from jailssh.plan.view import check_home
from jailssh.services import shadow
from jailssh.users import checks

_WANTED = "give it the same number on both hosts"


def compare_people(
    layout: Layout, archive: Archive, found: Comparison, after: Configuration | None, *, force: bool
) -> None:
    """Add to ``found`` what becomes of the accounts.

    ``after``: the configuration as it would be, None where it has a mistake.  ``force``: make accounts with the uids of
    the system, too.
    """
    people = _People(layout, archive, found, after, force=force)
    for name in sorted(archive.accounts):
        try:
            people.look(archive.accounts[name])
        except JailsshError as error:
            found.errors += parts(error)


class _People:
    def __init__(
        self, layout: Layout, archive: Archive, found: Comparison, after: Configuration | None, *, force: bool
    ) -> None:
        self._layout, self._archive, self._found, self._force = layout, archive, found, force
        self._uids: dict[int, str] = {}
        self._homes: dict[str, str] = {}
        # Of groups of accounts' own and of those with a section: each number once.
        self._gids = {gid: name for name, gid in archive.groups.items()}
        self._here = {gid: name for name, gid in accounts.local_groups().items()}
        self._passwords = accounts.all_passwords()
        self._jailed = after.groups() if after else ()
        self._strong: Collection[str] = after.main.deny_groups if after else ()
        self._least = after.main.min_uid if after else 0
        listed = install.read_optional(layout.jailed_groups) or b""
        self._confined = set(listed.decode("utf-8", "replace").split())

    def look(self, account: CarriedAccount) -> None:
        """Find what becomes of one account; raises what is wrong with it."""
        what = f"account {account.name}"
        if (other := self._uids.setdefault(account.uid, account.name)) != account.name:
            raise ConfigError(what, f"has the uid {account.uid} of {other}, in the archive")
        own = account.group == account.name
        if own and (other := self._gids.setdefault(account.gid, account.name)) != account.name:
            raise ConfigError(what, f"has the gid {account.gid} of {other}, in the archive")
        _check_user(self._archive, account)
        entry = accounts.find(account.name)
        if entry is None:
            self._found.errors += self._create(account)
        else:
            self._compare(account, entry)

    def _create(self, account: CarriedAccount) -> list[JailsshError]:
        """Plan an account that is not here; return every reason why it cannot be made as it was there."""
        what = f"account {account.name}"
        if account.origin == Origin.DIRECTORY:
            why = "comes from a directory service, and this host does not know it"
            return [UsageError(what, why, hint=f"getent passwd {account.name}")]
        errors: list[JailsshError] = []
        if account.uid < self._least and not self._force:
            why = f"uid {account.uid} is a system uid (min_uid is {self._least})"
            errors.append(DeniedError(what, why, hint="use --force to make it anyway"))
        groups = {account.group, *account.groups}
        if not account.jails and self._jailed and groups.isdisjoint(self._jailed):
            errors.append(UsageError(what, "is in no jail here: none has a file for it or names one of its groups"))
        for name in sorted(groups - {account.name}):
            needed = name == account.group or (not account.jails and name in self._jailed)
            errors += self._group(account, name, needed=needed)
        if account.group == account.name and (holder := self._holder(account.gid)):
            errors.append(UsageError(f"gid {account.gid} of {account.name}", f"is the gid of group {holder} here"))
        if (other := self._homes.setdefault(account.home, account.name)) != account.name:
            errors.append(ConfigError(what, f"has the home of {other}, in the archive"))
        try:
            check_home(account.home)
            checks.check_new(account.name, account.home, uid=account.uid, gecos=account.gecos)
        except JailsshError as error:
            errors += parts(error)
        if account.subuids or account.subgids:
            self._note(f"{account.name}: had subordinate ids, which an account in a jail does not get")
        if account.password and not account.jails and groups.isdisjoint(self._confined):
            self._note(_later(account))
        self._found.created.append(account)
        return errors

    def _group(self, account: CarriedAccount, name: str, *, needed: bool) -> list[JailsshError]:
        """Plan that the account comes into a group other than its own; return why it cannot."""
        what, there, here = f"group {name} of {account.name}", self._archive.groups.get(name), accounts.group_id(name)
        if name in self._strong:
            if needed:
                return [DeniedError(what, "can escape any jail")]
            self._note(f"{account.name}: was in group {name}, which can escape any jail, and does not come into it")
        elif there is not None and name == account.group and there != account.gid:
            return [ConfigError(what, f"has gid {there} and {account.gid}, in the archive")]
        elif here is None and (there is None or (there < _first_gid() and not needed)):
            if needed:
                return [UsageError(what, "does not exist here", hint="create it: groupadd")]
            self._note(f"{account.name}: was in group {name}, which this host does not have")
        elif here is not None and there not in (here, None):
            return [UsageError(what, f"is here already with gid {here}, in the archive with {there}", hint=_WANTED)]
        elif here is not None and name == account.group and account.gid != here:
            return [UsageError(what, f"is here with gid {here}, in the archive with {account.gid}", hint=_WANTED)]
        else:
            if here is None and there is not None:
                if holder := self._holder(there):
                    return [UsageError(f"gid {there} of group {name}", f"is the gid of group {holder} here")]
                if twin := next(
                    (each for each, gid in self._found.groups.items() if gid == there and each != name), ""
                ):
                    return [ConfigError(what, f"has the gid {there} of group {twin}, in the archive")]
                self._found.groups[name] = there
            if name != account.group:
                self._found.members.setdefault(account.name, []).append(name)
        return []

    def _holder(self, gid: int) -> str:
        """Return the group that has this gid here, "" for none."""
        name = self._here.get(gid) or accounts.group_name(gid)
        return name if name != str(gid) else ""

    def _compare(self, account: CarriedAccount, entry: accounts.AccountEntry) -> None:
        name = account.name
        for word, here, there in (("uid", entry.uid, account.uid), ("gid", entry.gid, account.gid)):
            if here != there:
                why = f"is here already with {word} {here}, in the archive with {there}"
                raise UsageError(f"account {name}", why, hint=f"{_WANTED}, or leave it out of the archive's host")
        if entry.home != account.home:
            self._note(f"{name}: home is {entry.home} here, {account.home} in the archive")
        hashed, ages = self._passwords.get(name, ("", None))
        expires = accounts.LOCKED if account.locked else account.expires
        if ages and day(ages.expires) != expires:
            self._note(f"{name}: the day on which it expires is another one here, and stays")
        groups = {group for group, _ in entry.groups}
        by_name = os.path.lexists(f"{self._layout.users}/{name}.conf")
        if account.jails and not by_name:
            self._found.joining.append(account)
        if not account.jails and not by_name and groups.isdisjoint(self._jailed):
            self._note(f"{name}: is in no jail here, since none names a group that it is in here")
        if missing := sorted(set(account.groups) - groups):
            self._note(f"{name}: is not in {', '.join(missing)} here, and does not come into it")
        if account.password:
            confined = by_name or not groups.isdisjoint(self._confined)
            # One that we have made and that nothing fits; a lock that somebody has put on it stays.
            if hashed == "*" and entry.shell == self._layout.login_program:
                if confined:
                    self._found.passwords.append(account)
                else:
                    self._note(_later(account))
            elif hashed != account.password:
                self._note(f"{name}: keeps the password that it has here")

    def _note(self, line: str) -> None:
        self._found.notes.append(line)


def _later(account: CarriedAccount) -> str:
    return f"{account.name}: gets its password by another import, after jailssh setup has closed what its groups open"


def _first_gid() -> int:
    return int(shadow.login_defs("GID_MIN", "1000"))


def _check_user(archive: Archive, account: CarriedAccount) -> None:
    """Raise unless the account's own file says what its section does."""
    path = f"users/{account.name}.conf"
    if (path in archive.files) != bool(account.jails):
        raise ConfigError(f"account {account.name}", f"its jails are not those of {path}, in the archive")
    if account.jails:
        user = read_user(archive.files[path].text, path, account.name)
        if (user.uid, tuple(sorted(user.jails))) != (account.uid, tuple(sorted(account.jails))):
            raise ConfigError(f"account {account.name}", f"its uid or jails are not those of {path}, in the archive")
