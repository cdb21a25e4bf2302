"""What is no error in the configuration, and still looks wrong on this host: rights to nothing, rights of nobody,
rights that the modes of directories take back, ends that are past.

Such a thing is no reason to publish nothing: a repository may come later, a person may have left.  ``jailssh config
check`` tells it, and ``jailssh apply`` beside what it does.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from jailssh.config.files import UserConfig
from jailssh.config.jails import JailConfig, place_of
from jailssh.config.limits import quota_of
from jailssh.config.reader import Document, Item, RawSetting, did_you_mean
from jailssh.config.settings import SettingKind
from jailssh.core.errors import ConfigError, HostError, JailsshError, as_plain, from_plain
from jailssh.core.names import HostPath, escape
from jailssh.diagnose.granted import User, about_modes, about_pattern, about_place, claims_of
from jailssh.files import shares
from jailssh.host import accounts
from jailssh.jail import listed
from jailssh.jail.bounds import slice_properties
from jailssh.jail.configuration import Configuration
from jailssh.jail.definition import JailDefinition
from jailssh.jail.directories import missing_in_home
from jailssh.jail.this_host import SAMPLE_ACCOUNT
from jailssh.jail.writable import Directories, Writer, chown_hint
from jailssh.plan.compile import Access
from jailssh.plugin.api import Account, Grant, PluginResult, Right
from jailssh.publish import key_rings, quotas
from jailssh.publish.account_plan import Use
from jailssh.services import slices, sshds

People = Iterable[tuple[Account, tuple[str, ...]]]
"""Accounts, each with the jails that it is in."""


@dataclass(frozen=True)
class Findings:
    """``wrong``: what should be mended.  ``notes``: what may be meant so."""

    wrong: tuple[ConfigError, ...]
    notes: tuple[ConfigError, ...]

    def as_plain(self) -> list[Any]:
        """Return what :meth:`from_plain` makes the same of, as it is kept or told (JSON)."""
        return [[[error.what, error.why, error.hint] for error in part] for part in (self.wrong, self.notes)]

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> Findings:
        """Return them."""
        return cls(*(tuple(ConfigError(what, why, hint=hint) for what, why, hint in part) for part in plain))


class Looked:
    """What is to be said of accounts that were looked at: ``found``, by name; ``host`` has told of the directories."""

    def __init__(self) -> None:
        self.host = Directories()
        self.found: dict[str, Findings] = {}
        self._told = 0

    def __call__(self, configuration: Configuration, name: str) -> object:
        """Look at one account; return what :meth:`take` is given, by whichever process."""
        found = of_account(configuration, name, self.host)
        silent = [[path, error.why] for path, error in islice(self.host.silent.items(), self._told, None)]
        self._told += len(silent)
        return [found.as_plain(), silent]

    def take(self, name: str, told: Any) -> None:
        """Keep what was seen of an account."""
        found, silent = told
        self.found[name] = Findings.from_plain(found)
        for path, why in silent:
            self.host.silent.setdefault(path, HostError(path, why))


def find(
    configuration: Configuration,
    known: dict[str, Findings] | None = None,
    jails: dict[str, tuple[str, ...]] | None = None,
    errors: list[JailsshError] | None = None,
    looked: Looked | None = None,
) -> Findings:
    """Return what is to be said; jails and accounts with errors are left to :meth:`Configuration.validate`.

    ``known``: what is to be said of accounts, by name.  The others are added where every directory has answered.
    ``jails``: those of accounts of which they are known, by name; the others are added.  ``errors`` gets what
    :meth:`Configuration.errors_of` says of each account: its files are read and its plugins are asked once for all.
    ``looked``: what has been seen of accounts already.
    """
    looked = looked or Looked()
    host, new = looked.host, looked.found
    known = {} if known is None else known
    jails = {} if jails is None else jails
    names = names_of_accounts(configuration)

    def look(part: Sequence[str]) -> Iterator[shares.Row]:
        for name in part:
            wrong = configuration.errors_of(name) if errors is not None else []
            told = looked(configuration, name) if name not in known and name not in new else None
            inside = None
            with suppress(JailsshError):
                if name not in jails and (account := configuration.host.find_account(name)) is not None:
                    inside = [*configuration.jails_for(account)]
            yield [name, [as_plain(each) for each in wrong], told, inside]

    def take(row: shares.Row) -> None:
        name, wrong, told, inside = row
        if errors is not None:
            errors.extend(map(from_plain, wrong))
        if told is not None:
            looked.take(name, told)
        if inside is not None:
            jails[name] = tuple(inside)

    todo = [name for name in names if errors is not None or name not in jails or not (name in known or name in new)]
    shares.divide(todo, look, take, "looked at accounts")
    found = [of_jails(configuration, host, in_jails(configuration, jails))]
    found += [new.get(name) or known[name] for name in names]
    if not host.silent:
        known.update(new)
    wrong = [error for each in found for error in each.wrong]
    if not configuration.layout.root:
        wrong += sshds.unjailed(configuration.layout, configuration.user_names())
    silent = (ConfigError(f"directory {escape(path)}", error.why) for path, error in host.silent.items())
    return Findings(_once(wrong), _once((*silent, *(error for each in found for error in each.notes))))


def names_of_accounts(configuration: Configuration) -> list[str]:
    """Return the accounts that have a file, or a directory for named keys, sorted."""
    return sorted({*configuration.user_names(), *configuration.shared_names()})


def of_jails(configuration: Configuration, host: Directories, people: People) -> Findings:
    """Return what is to be said of jails with these people in them, and of files for accounts that are gone."""
    notes = list(_about_former_names(configuration))
    wrong = _about_gone(configuration)
    for definition, inside in _in_use(configuration, people):
        wrong += _about_groups(definition.config)
        wrong += [] if inside else _about_end(definition.settings(configuration.main).access, definition, None)
        tables = [item for item in definition.config.items if item.lines]
        named = {(each.origin, each.who) for each in definition.config.directories if each.who}
        users = _users(configuration, definition, inside) if tables or named else []
        for origin, who in sorted(named):
            wrong += _about_names(who, origin, definition.config, users)
        for item in tables:
            for claim in claims_of(definition.config, item, users):
                wrong += about_pattern(claim, host)
                wrong += (
                    [] if claim.right.right == Grant.READ else [*about_place(claim, host), *about_modes(claim, host)]
                )
            for line in item.lines:
                wrong += _about_names(Right.of(line.text).who, line.origin, definition.config, users)
    return Findings(_once(wrong), _once(notes))


def of_account(configuration: Configuration, name: str, host: Directories) -> Findings:
    """Return what is to be said of one account; nothing of one that is gone, or of which something has errors."""
    notes = list(key_rings.notes_of(configuration, name))
    wrong: list[ConfigError] = []
    with suppress(JailsshError):
        config = configuration.user(name)
        notes += _former([(item.setting.name, item) for item in config.items] if config else [])
    with suppress(JailsshError):
        account = configuration.host.find_account(name)
        if account is not None:
            definition = configuration.definition(configuration.jails_for(account))
            account = configuration.placed(account)
            user = _user(configuration, definition, account)
            access = definition.settings(configuration.main, user.config).access
            wrong += _about_end(access, definition, user.config)
            notes += _about_sessions(access, definition, user)
            for each in user.holders:
                results = each.results()
                notes += missing_in_home(each.definition.config, results, account)
                notes += listed.notes_of(each.definition.config, each.account, configuration.host, host)
                wrong += _about_writable(each.definition.config, results, user, host)
            wrong += _about_quota(configuration, definition, user)
    return Findings(_once(wrong), _once(notes))


def _about_quota(configuration: Configuration, definition: JailDefinition, user: User) -> list[ConfigError]:
    """Return what is to be said where a file system does not keep what the account may fill."""
    try:
        # Its plan is compiled for this alone: of thousands few have one.
        if quota_of(definition.limits(user.config)):
            use = Use.of(configuration, user.account)
            quotas.difference(configuration.layout, use.quota(use.compile(configuration.main, HostPath("/image"))))
    except ConfigError as error:
        return [error]
    return []


def about_slices(configuration: Configuration, people: People) -> tuple[ConfigError, ...]:
    """Return what is to be said of limits for all sessions of an account where this host cannot hold them."""
    if configuration.layout.root or not (why := slices.why_not()):
        return ()
    limited = [each for each, users in _in_use(configuration, people) if users and slice_properties(each.config)]
    what = "[limits] memory, tasks, cpu_quota, cpu_weight, io_weight"
    hint = "the limits for each process apply; to silence this, set all five to none"
    return (ConfigError(what, f"have no effect on this host: {why}", hint=hint),) if limited else ()


def note_lines(found: Iterable[ConfigError]) -> list[str]:
    """Return the lines that tell findings beside a result."""
    return [line.replace("jailssh: ", "note: ", 1) for each in found for line in each.lines()]


def _once(found: Iterable[ConfigError]) -> tuple[ConfigError, ...]:
    return tuple({str(each): each for each in found}.values())


def _in_use(configuration: Configuration, people: People) -> Iterator[tuple[JailDefinition, list[Account]]]:
    """Yield the administrator's jails and those of accounts, each with the accounts in it."""
    found: dict[str, tuple[JailDefinition, list[Account]]] = {}
    for name in configuration.own_jails():
        with suppress(JailsshError):
            definition = configuration.definition((name,))
            found[definition.name] = definition, []
    for account, jails in people:
        with suppress(JailsshError):
            definition = configuration.definition(jails)
            found.setdefault(definition.name, (definition, []))[1].append(account)
    for definition, accounts_in in found.values():
        with suppress(JailsshError):
            someone = configuration.placed(accounts_in[0]) if accounts_in else SAMPLE_ACCOUNT
            definition.check_plan(configuration.main, someone)
            yield definition, accounts_in


def in_jails(
    configuration: Configuration, jails: Mapping[str, tuple[str, ...]]
) -> list[tuple[Account, tuple[str, ...]]]:
    """Return the accounts of ``jails`` that this host has, each with its jails, sorted."""
    found = []
    for name, inside in sorted(jails.items()):
        with suppress(JailsshError):
            if (account := configuration.host.find_account(name)) is not None:
                found.append((account, inside))
    return found


def _users(configuration: Configuration, definition: JailDefinition, found: Iterable[Account]) -> list[User]:
    users = []
    for account in found:
        with suppress(JailsshError):
            users.append(_user(configuration, definition, configuration.placed(account)))
    return users


def _user(configuration: Configuration, definition: JailDefinition, account: Account) -> User:
    ring = configuration.keyring(account.name)
    names = frozenset(name for key in ring.keys for name in ring.roles(key)) if ring.keys else account.roles
    writer = Writer.of(account, definition.config)
    config = configuration.user(account.name)
    holders = configuration.holders(definition, account, ring, config)
    return User(account, holders, names, bool(ring.keys), config, writer)


def _about_gone(configuration: Configuration) -> list[ConfigError]:
    """Return what is to be said of files for accounts that this host does not have (any more)."""
    layout = configuration.layout
    found = []
    for name in names_of_accounts(configuration):
        if configuration.host.find_account(name) is not None:
            continue
        user = None
        with suppress(JailsshError):
            user = configuration.user(name)
        path = f"{layout.users}/{name}.conf" if user is not None else f"{layout.key_rings}/{name}"
        now = configuration.host.find_account(user.uid) if user is not None else None
        if user is None or now is None:
            hint = "jailssh apply --gone"
            found.append(ConfigError(path, "the account does not exist on this host", hint=hint))
        else:
            why = f"the account does not exist on this host: uid {now.uid} is now {now.name}, which cannot log in"
            jails = ",".join(user.jails)
            hint = f"jailssh apply --gone && jailssh adduser {now.name} --jail {jails}"
            found.append(ConfigError(path, why, hint=hint))
    return found


def _about_former_names(configuration: Configuration) -> Iterator[ConfigError]:
    """Yield what is to be said of settings that the main file and jails have by their names of the version before."""
    found: list[tuple[str, RawSetting | Item]] = [(item.setting.name, item) for item in configuration.main.items]
    for document in configuration.documents.values():
        for entries in document.entries.values() if isinstance(document, Document) else ():
            found += entries.items()
    return _former(found)


def _former(found: Iterable[tuple[str, RawSetting | Item]]) -> Iterator[ConfigError]:
    for name, entry in found:
        if entry.former:
            hint = "rename it: the next release no longer reads the old name"
            yield ConfigError(entry.origin, f"{entry.former!r} is now {name!r}", hint=hint)


def _about_groups(config: JailConfig) -> list[ConfigError]:
    """Return what is to be said of Unix groups that this host does not have; of a union, its parts say it."""
    if "+" in config.name:
        return []
    known = cache(accounts.group_names)
    found = []
    for name in ("groups", "supplementary_groups"):
        item = next(item for item in config.items if not item.setting.section and item.setting.name == name)
        for group in item.value if isinstance(item.value, tuple) else ():
            if not accounts.group_exists(group):
                near = did_you_mean(group, known())
                hint = near if near.startswith("did") else f"groupadd {group}"
                found.append(ConfigError(item.origin, f"{name}: group {group} does not exist on this host", hint=hint))
    return found


def _about_end(access: Access, definition: JailDefinition, config: UserConfig | None) -> list[ConfigError]:
    """Return what is to be said of an end that is past, of the jail or of an account in it."""
    item = definition.limits(config)["expires"]
    if 0 < access.expires <= time.time():
        why = f"expires: {item.value} is in the past: all logins are denied"
        return [ConfigError(item.origin, why, hint="set a later day, or remove the line")]
    return []


def _about_sessions(access: Access, definition: JailDefinition, user: User) -> list[ConfigError]:
    """Return what is to be said of a shared account whose sessions one of its keys can take all."""
    if not user.shared or not access.sessions or 0 < access.key_sessions < access.sessions:
        return []
    item = definition.limits(user.config)["max_sessions"]
    why = f"max_sessions: one key of {user.account.name} can use all {access.sessions} and lock out the others"
    return [ConfigError(item.origin, why, hint="set max_sessions_per_key to a lower number in the jail's [limits]")]


def _about_writable(
    config: JailConfig, results: Sequence[PluginResult], user: User, host: Directories
) -> list[ConfigError]:
    """Return what is to be said of directories that a plugin lets the account write to and their modes do not.

    Not of those with a table of rights, nor where there is a directory inside that the account can write to.
    """
    tables = {item.setting.section for item in config.items if item.setting.kind == SettingKind.RIGHTS and item.lines}
    found = []
    for plugin, result in zip(config.plugins, results, strict=True):
        for bind in [bind for bind in result.binds if bind.writable and plugin not in tables]:
            path = user.account.source_of(bind)
            inside = (f"{path}/{name}" for name in host.names(path))
            if not host.is_absent(path) and not any(host.can_write(user.writer, each) for each in (path, *inside)):
                place = place_of(config, plugin, bind.path, user.account.home)
                why = f"account {user.account.name} cannot write to {path}"
                found.append(ConfigError(place, why, hint=chown_hint(path, [user.writer])))
    return found


def _about_names(whom: Sequence[str], origin: str, config: JailConfig, users: Sequence[User]) -> list[ConfigError]:
    """Return what is to be said of names that no key, account or group of the jail has; nothing without accounts."""
    known = {name for user in users for name in user.names} | {"@all"}
    by_unix = bool(config.groups) or any(not user.shared for user in users)
    found = []
    for who in whom if users else ():
        if who in known or (by_unix and _of_this_host(who)):
            continue
        what = "group" if who.startswith("@") else "key" if not by_unix else "account"
        others = [name for name in known if name.startswith("@") == who.startswith("@")]
        found.append(ConfigError(origin, f"unknown {what} {who!r} in this jail", hint=did_you_mean(who, others)))
    return found


def _of_this_host(who: str) -> bool:
    return accounts.group_exists(who[1:]) if who.startswith("@") else accounts.find(who) is not None
