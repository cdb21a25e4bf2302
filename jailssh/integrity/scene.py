"""What all checks of a run share, looked at once: accounts, processes, configuration, and what is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import jailssh
from jailssh.core.errors import JailsshError
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry, PasswordAges
from jailssh.host.paths import Layout
from jailssh.integrity import census
from jailssh.integrity.census import Census, Person
from jailssh.integrity.kept import Kept, digest, stamp_of
from jailssh.jail.configuration import Configuration, load_configuration
from jailssh.jail.steady import steady
from jailssh.jail.this_host import ForOneRun, ThisHost
from jailssh.services.processes import ProcessSeen, all_of_them

T = TypeVar("T")
_PROGRAM = (os.path.dirname(jailssh.__file__), os.path.dirname(os.path.dirname(jailssh.__file__)))
"""Directories that an installation of another version changes."""


class _CensusHost(ForOneRun):
    """Answers for accounts from the census, as far as that knows them all.

    Whom it does not know the name service is asked for, before anybody is taken for gone.
    """

    def __init__(self, known: Census) -> None:
        super().__init__()
        self._known = known

    def find_entry(self, who: str | int) -> AccountEntry | None:
        """Return the account with this name or uid, or None."""
        known = self._known
        name = next(iter(known.names_of.get(who, ())), None) if isinstance(who, int) else who
        entry = known.entries.get(name) if known.alone and name is not None else None
        # A name with two lines is answered by the first, which need not be the one with this uid.
        known_well = entry is not None and who in (entry.uid, entry.name)
        return entry if known_well else super().find_entry(who)

    def group_id(self, group: str) -> int | None:
        """Return the gid of a group, or None."""
        gid = self._known.gids.get(group) if self._known.alone else None
        return super().group_id(group) if gid is None else gid

    @cached_property
    def _ends(self) -> dict[str, PasswordAges]:
        return {name: ages for name, (_, ages) in accounts.all_passwords().items()}

    def expiry(self, name: str) -> int | None:
        """Return when the local account expires, in seconds since 1970; None for never."""
        ages = self._ends.get(name)
        return None if ages is None or ages.end is None else ages.end * 86400


def counted(layout: Layout) -> ThisHost | None:
    """Return who answers for the accounts of this host as one pass over their files finds them now, for one run.

    None where other sources know accounts too, and for another root: the name service is asked then.
    """
    return None if layout.root or not (known := census.take(layout)).alone else _CensusHost(known)


class _WholeHost(_CensusHost):
    """Does the same, but takes for absent whom neither the files have nor is among ``others``, names and numbers."""

    def __init__(self, known: Census, others: frozenset[str]) -> None:
        super().__init__(known)
        self._others = others

    def find_entry(self, who: str | int) -> AccountEntry | None:
        """Return the account with this name or uid, or None."""
        known = who in (self._known.names_of if isinstance(who, int) else self._known.entries)
        return super().find_entry(who) if known or str(who) in self._others else None

    def group_id(self, group: str) -> int | None:
        """Return the gid of a group, or None."""
        return super().group_id(group) if group in self._known.gids or group in self._others else None


def whole(layout: Layout) -> ThisHost | None:
    """Do as :func:`counted`, for one look at thousands of names and numbers most of which are to be free.

    Who is absent may be there a moment later: whoever makes an account looks at the files again.
    """
    if layout.root or not (known := census.take(layout)).alone:
        return None
    with suppress(JailsshError):
        return _WholeHost(known, census.given_by_systemd())
    return None


@dataclass
class Scene:
    """One run.  ``jails`` and ``users``: what was asked for, both empty for everything.

    ``directory``: a chroot that is looked at in the place of this host's jails, else "".  ``now``: seconds since 1970.
    """

    layout: Layout
    kept: Kept
    jails: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    full: bool = False
    directory: str = ""
    now: float = field(default_factory=time.time)
    errors: list[JailsshError] = field(default_factory=list)
    begun: dict[str, Any] = field(default_factory=dict)
    """What checks have begun and will wait for, by their names."""
    _once: dict[str, Any] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what several checks ask for: ``make`` is called once in a run."""
        if name not in self._once:
            self._once[name] = make()
        found: T = self._once[name]
        return found

    def unseen(self, error: JailsshError) -> None:
        """Note what could not be looked at."""
        self.errors.append(error)

    @property
    def narrow(self) -> bool:
        """True if only some jails or accounts are meant."""
        return bool(self.jails or self.users)

    @cached_property
    def configuration(self) -> Configuration:
        """What the files say."""
        return steady(load_configuration(self.layout), _CensusHost(self.census))

    @cached_property
    def settings_stamp(self) -> str:
        """A stamp of what all plans rest on: the configuration's files, groups, the day, this version of jailssh.

        The day, since an account's end may have come without a change of any file.
        """
        day = int(self.now // 86400)
        files = stamp_of((*_PROGRAM, "/etc/group"), self.layout.root, jailssh.__version__, day)
        return digest((self.configuration.stamps, files))

    @cached_property
    def census(self) -> Census:
        """All accounts of this host, from one pass."""
        return census.take(self.layout)

    @cached_property
    def jailed(self) -> Mapping[str, Person]:
        """The accounts in a jail, by name; those that were asked for, if some were."""
        everybody = census.jailed(
            self.configuration, self.census, self.kept, self.settings_stamp, self.errors, self.users
        )
        if not self.narrow:
            return everybody
        return {
            name: each
            for name, each in everybody.items()
            if name in self.users or not self.jails.isdisjoint(each.jails)
        }

    @cached_property
    def processes(self) -> tuple[ProcessSeen, ...]:
        """The processes of this host, from one pass over ``/proc``."""
        return all_of_them()

    def shows(self, account: str, jail: str) -> bool:
        """True if what concerns this account or this jail was asked for; both "" for the host."""
        if not self.narrow:
            return True
        if account:
            return account in self.jailed or account in self.users
        return bool(jail) and (jail in self.jails or any(jail == each.jail for each in self.jailed.values()))
