"""What is there to be brought in, and what becomes of it.  Changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from jailssh.config.reader import Document
from jailssh.core.errors import JailsshError, UsageError
from jailssh.host import accounts
from jailssh.jail.configuration import Configuration, NotJailedError
from jailssh.jail.profiles import shipped_profiles
from jailssh.jail.this_host import to_account
from jailssh.migration.references import Reference, references
from jailssh.migration.table import SOURCES
from jailssh.migration.wanted import Wanted, wanted
from jailssh.sources.found import Found, Host, Person


@dataclass(frozen=True)
class Inventory:
    """``errors``: sources that could not be read, and why; nothing of these is done.  ``elsewhere``: what else of the
    host names a home or a shell of an account that changes.  ``now``: local accounts as they are, by name."""

    wanted: Wanted
    errors: tuple[JailsshError, ...]
    elsewhere: tuple[Reference, ...]
    now: Mapping[str, Person]


def take(
    configuration: Configuration,
    host: Host,
    sources: Sequence[str] = (),
    people: Collection[str] = (),
) -> Inventory:
    """Return what the named sources confine, all of them without a name; of ``people`` alone where some are named."""
    for name in sources:
        if name not in SOURCES:
            raise UsageError(f"source {name!r}", "does not exist", hint=f"one of: {', '.join(SOURCES)}")
    found: list[Found] = []
    errors: list[JailsshError] = []
    for name, source in SOURCES.items():
        if not sources or name in sources:
            try:
                found += source.find(host)
            except JailsshError as error:
                errors.append(error)
    known = {each.account for each in found} | set(_inside(configuration, people))
    if missing := sorted(set(people) - known):
        raise UsageError(f"account {missing[0]}", "nothing that could be migrated confines it", hint="jailssh migrate")
    found = [each for each in found if not people or each.account in people]
    names = dict.fromkeys(each.account for each in found)
    plan = wanted(found, shipped_profiles(), _present(configuration), _inside(configuration, names), refused=people)
    going = {each.account for each in plan.found}
    now = {person.name: person for person in host.people() if person.local and person.name in going}
    return Inventory(plan, tuple(errors), tuple(references(host, plan.found)), now)


def _present(configuration: Configuration) -> dict[str, Document]:
    return {name: each for name, each in configuration.documents.items() if isinstance(each, Document)}


def _inside(configuration: Configuration, names: Iterable[str]) -> dict[str, Sequence[str]]:
    inside: dict[str, Sequence[str]] = {}
    for name in names:
        entry = accounts.find(name)
        if entry is None:
            continue
        try:
            inside[name] = configuration.jails_for(to_account(entry))
        except NotJailedError:
            continue
    return inside
