"""Accounts that ``apply`` need not look at again: what it found right and published, while nothing changes that it
rests on.

What it rests on is the account's line and groups, its files and its plan (inode, size and times: all are root's, in
directories of root's), the directories that its jail shows, the jail, whose plan for nobody in particular is compiled
anew each time, and what all plans rest on, as for ``check``.  Whatever is not simple is looked at each time: named
keys, recordings, logs, promises that rest on a default ACL, accounts of a directory service.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from jailssh.config.limits import quota_of
from jailssh.core.closed import Recorded
from jailssh.core.errors import JailsshError
from jailssh.core.names import HostPath
from jailssh.diagnose.findings import Findings
from jailssh.files import shares
from jailssh.host.accounts import AccountEntry
from jailssh.integrity.census import Person
from jailssh.integrity.kept import Kept, digest, stamp_of
from jailssh.integrity.scene import Scene
from jailssh.jail.bounds import slice_properties
from jailssh.jail.configuration import Configuration
from jailssh.jail.steady import steady
from jailssh.jail.this_host import to_account
from jailssh.publish import plan_files, quotas
from jailssh.publish.account_plan import InForce, of_nobody
from jailssh.services import slices

_AREA = "applied"


class Settled:
    """``right``: the accounts that need no look, by name; ``findings``: what is to be said of them.

    ``entries``: the lines of those with a file of their own whose shell is the login program, whatever else is to be
    looked at; ``jails``: their jails.  ``configuration``: what the files say, for looking at accounts; see
    :mod:`jailssh.jail.steady`.

    :meth:`keep` expects what was ``published`` since, and in ``findings`` what is to be said of these accounts too.
    """

    def __init__(self, configuration: Configuration) -> None:
        self.right: dict[str, InForce] = {}
        self.entries: dict[str, AccountEntry] = {}
        self.jails: dict[str, tuple[str, ...]] = {}
        self.findings: dict[str, Findings] = {}
        self.published: dict[str, int] = {}
        self._layout = configuration.layout
        self._before: dict[str, tuple[Person, str]] = {}
        self._jails: dict[tuple[str, ...], str] = {}
        self._scene = Scene(self._layout, Kept(self._layout))
        self.configuration: Configuration = steady(configuration)
        # Without what is kept everything is looked at, and what is wrong is told by who looks.
        with suppress(JailsshError, OSError):
            self._find(configuration)

    def _find(self, configuration: Configuration) -> None:
        scene = self._scene
        if self._layout.root or not scene.census.alone or scene.configuration.stamps != configuration.stamps:
            return
        self.configuration = scene.configuration
        names = set(configuration.user_names()).difference(configuration.shared_names())
        for name, person in scene.jailed.items():
            if not (name in names and person.local and person.entry.shell == self._layout.login_program):
                continue
            self.entries[name], self.jails[name] = person.entry, person.jails
            if not (of_jail := self._of_jail(person.jails)):
                continue
            row = None
            with suppress(JailsshError):
                row = scene.kept.settled(_AREA, name, partial(self._stamp, person, of_jail))
            if row is None:
                self._before[name] = person, stamp_of(self._given(person))
                continue
            self.right[name] = InForce(person.entry.uid, person.jails)
            self.findings[name] = Findings.from_plain(row)

    def _of_jail(self, jails: tuple[str, ...]) -> str:
        """Return a stamp of what the plans of a jail rest on, "" where its accounts are to be looked at each time."""
        if jails not in self._jails:
            self._jails[jails] = ""
            with suppress(JailsshError):
                self._jails[jails] = self._stamp_of_jail(jails)
        return self._jails[jails]

    def _stamp_of_jail(self, jails: tuple[str, ...]) -> str:
        configuration = self._scene.configuration
        definition = configuration.definition(jails)
        config = definition.config
        if config.record != Recorded.NO or config.log:
            return ""
        rests_on = of_nobody(definition, configuration.main, HostPath("/image"))
        # An account can have hours and a last day where its jail has none.
        zone = stamp_of(("/etc/localtime",))
        return digest(
            (rests_on, sorted(slice_properties(config).items()), slices.why_not(), zone, quota_of(config.access))
        )

    def _stamp(self, person: Person, of_jail: str) -> str:
        return stamp_of(
            [*self._given(person), *self._made(person)],
            person.entry, person.jails, self._scene.settings_stamp, of_jail,
            quotas.standing(self._layout, person.entry.uid),
        )  # fmt: skip

    def _given(self, person: Person) -> list[str]:
        """Return what others write, and publishing only reads."""
        return [f"{self._layout.users}/{person.entry.name}.conf", f"{self._layout.key_rings}/{person.entry.name}"]

    def _made(self, person: Person) -> list[str]:
        layout, entry = self._layout, person.entry
        return [
            f"{layout.images}/{person.jail}/current",
            plan_files.plan_file(layout, entry.uid),
            f"{layout.keys}/{entry.name}",
            f"{layout.owners}/{entry.name}",
            *slices.files_of(layout, entry.uid),
        ]

    def keep(self) -> None:
        """Keep what was published, for the next run; what cannot be kept is looked at again."""
        before, self._jails = self._jails, {}

        def rows(part: Sequence[str]) -> Iterator[shares.Row]:
            for name in part:
                person, given = self._before[name]
                # What changed meanwhile may have come before or after it was read.
                same = stamp_of(self._given(person)) == given and self._of_jail(person.jails) == before[person.jails]
                with suppress(JailsshError):
                    if same and self.published[name] == person.entry.uid and (row := self._row(person)):
                        yield [name, row]

        def take(row: shares.Row) -> None:
            self._scene.kept.settle(_AREA, *row)

        known = [name for name in self.published if name in self._before and name in self.findings]
        shares.divide(known, rows, take, "looked at accounts")
        with suppress(JailsshError, OSError):
            self._scene.kept.save()

    def _row(self, person: Person) -> list[Any]:
        """Return what is kept of an account, nothing where it is to be looked at each time."""
        configuration, name = self._scene.configuration, person.entry.name
        account = configuration.placed(to_account(person.entry))
        definition = configuration.definition(person.jails)
        results = definition.results(account)
        # A default ACL of a directory below leaves no trace in what is stamped, nor do modes of files.
        if any(rule.create_only for result in results for rule in result.rules) or any(
            each.group for each in definition.config.directories
        ):
            return []
        shown = {account.source_of(bind) for result in results for bind in result.binds}
        stamp = self._stamp(person, self._of_jail(person.jails))
        return self._scene.kept.row(
            stamp, self.findings[name].as_plain(), sorted({account.on_host(account.home), *shown})
        )
