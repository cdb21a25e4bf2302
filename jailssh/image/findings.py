"""What is no error in the configuration, and still looks wrong on this host: rights to nothing, rights of nobody.

Such a thing stops nobody: a repository may come later, a person may have left.  ``jailssh config check`` tells it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache

from jailssh.config.jails import JailConfig
from jailssh.config.reader import Item, nearest
from jailssh.config.rights import Line
from jailssh.core.errors import ConfigError, JailsshError
from jailssh.host import accounts
from jailssh.image.directories import missing_in_home
from jailssh.image.jail import ANYBODY, Configuration, JailDefinition, find_account, holders
from jailssh.plugin.api import Account, Right

_REPOSITORY = ("HEAD", ".git")
"""What is in the directory of a repository, without and with a working tree."""


@dataclass(frozen=True)
class Findings:
    """``wrong``: what should be mended.  ``notes``: what may be meant so."""

    wrong: tuple[ConfigError, ...]
    notes: tuple[ConfigError, ...]


@dataclass(frozen=True)
class _User:
    """An account in a jail, the sets of roles by which it is used, and the names by which rights reach it."""

    account: Account
    roles: tuple[frozenset[str], ...]
    names: frozenset[str]
    shared: bool


def find(configuration: Configuration) -> Findings:
    """Return what is to be said; jails and accounts with errors are left to :meth:`Configuration.validate`."""
    wrong: list[ConfigError] = []
    notes: list[ConfigError] = []
    listing = cache(_listing)
    for definition, users in _in_use(configuration):
        for item in definition.config.items:
            roots = _roots(definition.config, item, [user.account for user in users])
            for line in item.lines:
                wrong += _about_pattern(line, roots, listing) if roots else ()
                wrong += _about_names(line, definition.config, users)
        for user in users:
            for roles in user.roles:
                results = definition.results(replace(user.account, roles=roles))
                notes += missing_in_home(definition.config, results, user.account)
    return Findings(_once(wrong), _once(notes))


def _once(found: Iterable[ConfigError]) -> tuple[ConfigError, ...]:
    return tuple({str(each): each for each in found}.values())


def _in_use(configuration: Configuration) -> Iterator[tuple[JailDefinition, list[_User]]]:
    """Yield the administrator's jails and those of accounts, each with the accounts in it."""
    found: dict[str, tuple[JailDefinition, list[_User]]] = {}
    for name in configuration.own_jails():
        with suppress(JailsshError):
            definition = configuration.definition((name,))
            found[definition.name] = definition, []
    for name in sorted({*configuration.user_names(), *configuration.shared_names()}):
        with suppress(JailsshError):
            account = find_account(name)
            if account is None:
                continue
            definition = configuration.definition(configuration.jails_for(account))
            user = _user(configuration, definition, account)
            found.setdefault(definition.name, (definition, []))[1].append(user)
    for definition, users in found.values():
        with suppress(JailsshError):
            definition.check_plan(configuration.main, users[0].account if users else ANYBODY)
            yield definition, users


def _user(configuration: Configuration, definition: JailDefinition, account: Account) -> _User:
    ring = configuration.keyring(account.name)
    names = frozenset(name for key in ring.keys for name in ring.roles(key)) if ring.keys else account.roles
    return _User(account, tuple(holders(definition, account, ring)), names, bool(ring.keys))


def _roots(config: JailConfig, table: Item, users: Sequence[Account]) -> tuple[str, ...]:
    """Return the directories at which relative patterns begin, one for each home where they are in homes."""
    named = {item.setting.name: item for item in config.items if item.setting.section == table.setting.section}
    value = named["roots"].value if "roots" in named else ()
    first = next(iter(value), "") if isinstance(value, tuple) else ""
    if first.startswith("~"):
        return tuple(dict.fromkeys(user.home + first[1:] for user in users))
    return (first,) if first else ()


def _about_pattern(line: Line, roots: Sequence[str], listing: Callable[[str], tuple[str, ...]]) -> list[ConfigError]:
    """Return what is to be said of a pattern that names nothing on this host; one for ``create`` may do so."""
    right = Right.of(line.text)
    patterns = [right.pattern] if right.pattern.startswith("/") else [f"{root}/{right.pattern}" for root in roots]
    if right.right == "create" or any(_exists(pattern, listing) for pattern in patterns):
        return []
    pattern = patterns[0]
    if "*" in pattern:
        why, hint = f"{right.pattern} fits no directory on this host", "is it spelt right?"
    elif os.path.isdir(pattern):
        why = f"{pattern} is no git repository"
        hint = f"for those in it: {right.pattern}/* or {right.pattern}/**"
    else:
        why = f"there is no repository {pattern}"
        hint = nearest(os.path.basename(pattern), listing(os.path.dirname(pattern)))
        hint = hint if hint.startswith("did") else f"make it: git init --bare {pattern}, owned by who may write"
    return [ConfigError(line.origin, why, hint=hint)]


def _exists(pattern: str, listing: Callable[[str], tuple[str, ...]]) -> bool:
    """True if there is a repository ``pattern``, ``.git`` added or not; or with wildcards, a directory that it fits."""
    if "*" not in pattern:
        return any(os.path.lexists(f"{pattern}{end}/{name}") for name in _REPOSITORY for end in ("", ".git"))
    fixed = pattern[: pattern.rindex("/", 0, pattern.index("*"))]
    places = [fixed]
    for part in pattern[len(fixed) + 1 :].split("/"):
        shape = re.compile(".*".join(map(re.escape, part.replace("**", "*").split("*"))) + r"\Z", re.DOTALL)
        hidden = part.startswith(".")
        places = [
            f"{place}/{name}"
            for place in places
            for name in listing(place)
            if (shape.match(name) or shape.match(name.removesuffix(".git"))) and (hidden or not name.startswith("."))
        ]
    return bool(places)


def _listing(path: str) -> tuple[str, ...]:
    """Return the names of the directories in ``path``, links to directories left out; none where it is absent."""
    try:
        with os.scandir(path) as entries:
            return tuple(sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False)))
    except OSError:
        return ()


def _about_names(line: Line, config: JailConfig, users: Sequence[_User]) -> list[ConfigError]:
    """Return what is to be said of names that no key, account or group of the jail has; nothing without accounts."""
    known = {name for user in users for name in user.names} | {"@all"}
    by_unix = bool(config.groups) or any(not user.shared for user in users)
    found = []
    for who in Right.of(line.text).who if users else ():
        if who in known or (by_unix and _of_this_host(who)):
            continue
        what = "group" if who.startswith("@") else "key" if not by_unix else "account"
        others = [name for name in known if name.startswith("@") == who.startswith("@")]
        found.append(ConfigError(line.origin, f"no {what} of this jail is named {who}", hint=nearest(who, others)))
    return found


def _of_this_host(who: str) -> bool:
    return accounts.group_exists(who[1:]) if who.startswith("@") else accounts.find(who) is not None
