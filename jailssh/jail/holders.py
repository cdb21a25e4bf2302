"""Who uses an account: itself, or the named keys of a shared one, each with what the account's file gives it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from functools import cached_property
from itertools import chain

from jailssh.config import by_key
from jailssh.config.files import MainConfig, UserConfig
from jailssh.config.jails import OptionsOf
from jailssh.config.key_sections import Given, by_whom, given_to
from jailssh.config.keys import Keyring
from jailssh.config.reader import Item
from jailssh.config.settings import HOLDS_PATHS
from jailssh.config.specifiers import of_keys
from jailssh.core.errors import ConfigError, JailsshError, parts, raise_all
from jailssh.jail.definition import JailDefinition
from jailssh.plan.compile import JailSettings
from jailssh.plugin.api import Account, ImageNeeds, PluginResult, Value


@dataclass(frozen=True, eq=False)
class Holder:
    """Keys of an account that have the same: ``account`` with their roles, the jail and limits as they are for them.

    ``names``: the keys, none for an account that is not shared.  ``alike``: equal for those whose plans differ by
    nothing but directories.
    """

    account: Account
    _: KW_ONLY
    definition: JailDefinition
    user: UserConfig | None
    names: tuple[str, ...] = ()
    alike: object = None

    def results(self) -> tuple[PluginResult, ...]:
        """Return what the plugins give to them, as :meth:`JailDefinition.results` does; asked once."""
        return self._results

    @cached_property
    def _results(self) -> tuple[PluginResult, ...]:
        return self.definition.results(self.account)

    def check_results(self) -> None:
        """Raise for what rules and directories cannot say together; all else, those who are alike have in common."""
        self.definition.check_results(self.account, self.results())

    def settings(self, main: MainConfig) -> JailSettings:
        """Return what the plan compiler needs to know of the configuration."""
        return self.definition.settings(main, self.user)


def holders(
    definition: JailDefinition, account: Account, ring: Keyring, user: UserConfig | None, options_of: OptionsOf
) -> tuple[Holder, ...]:
    """Return in which ways the account is used; the own one of an account that has no named keys.

    Only roles that some setting of the jail's plugins mentions tell two keys apart, so most keys have the same; where a
    directory has the key's name, each has its own.  Raises every error in what keys are given, at once.
    """
    if not ring.keys:
        return (Holder(account, definition=definition, user=user),)
    errors: list[JailsshError] = []
    entries = by_whom(user.by_key) if user else {}
    found: dict[object, tuple[_Way, list[str]]] = {}
    ways: dict[object, _Way] = {}
    for name in ring.keys:
        try:
            given = given_to(entries, name, ring.groups[name])
            what = frozenset((place, entry.raw) for place, entry in given.items())
            if what not in ways:
                ways[what] = _way(definition, user, given, options_of)
        except JailsshError as error:
            errors += parts(error)
            continue
        way = ways[what]
        roles = frozenset((*(ring.roles(name) & way.mentioned), "@all"))
        own = replace(way, alike=(way.alike, roles), roles=roles | {name} if way.each else roles)
        found.setdefault((what, own.roles), (own, []))[1].append(name)
    raise_all(errors)
    return tuple(
        Holder(replace(account, roles=way.roles), definition=way.definition, user=way.user, names=tuple(names),
               alike=way.alike)
        for way, names in found.values()
    )  # fmt: skip


def settings_of_keys(
    definition: JailDefinition, ring: Keyring, user: UserConfig, options_of: OptionsOf, plugin: str
) -> Iterator[Mapping[str, Value]]:
    """Yield what named keys of an account have for a plugin in the place of what their jail says.

    Nothing is judged: what is wrong is in no plan.
    """
    entries = by_whom(user.by_key)
    for name in ring.keys:
        items = by_key.read(definition.config, given_to(entries, name, ring.groups[name]), options_of, [])
        if any(section == plugin for section, _ in items):
            yield by_key.with_items(definition.config, items).options[plugin]


def one_of_each(holders: Iterable[Holder]) -> list[Holder]:
    """Return one of those that are alike: what is wrong with its plan, but for directories, is with all of them."""
    return list({each.alike: each for each in holders}.values())


def of_key(
    definition: JailDefinition, account: Account, ring: Keyring, user: UserConfig | None, options_of: OptionsOf,
    key: str = "",
) -> Holder | None:  # fmt: skip
    """Return who has this key of the account, with all roles; None if there is none.

    "" is the account itself, which nobody is where it has named keys.
    """
    if not key and not ring.keys:
        return Holder(account, definition=definition, user=user)
    if key not in ring.keys:
        return None
    entries = by_whom(user.by_key) if user else {}
    way = _way(definition, user, given_to(entries, key, ring.groups[key]), options_of)
    return Holder(replace(account, roles=ring.roles(key)), definition=way.definition, user=way.user, names=(key,))


@dataclass(frozen=True)
class _Way:
    """What keys with the same settings have.

    ``mentioned``: words that can be roles; ``each``: what they have differs by the key's name.
    """

    definition: JailDefinition
    _: KW_ONLY
    user: UserConfig | None
    mentioned: frozenset[str]
    each: bool
    roles: frozenset[str] = frozenset()
    alike: object = None


def _way(definition: JailDefinition, user: UserConfig | None, given: Given, options_of: OptionsOf) -> _Way:
    errors: list[JailsshError] = []
    items = by_key.read(definition.config, given, options_of, errors)
    raise_all(errors)
    if items:
        definition, base = _with_items(definition, items), definition
        raise_all(list(_not_in_image(base, definition, items)))
        limits = {name: item for (section, name), item in items.items() if section == by_key.LIMITS}
        own = {name: item for name, item in limits.items() if name in definition.config.access}
        user = replace(user, access={**user.access, **own}) if user and own else user
    alike = frozenset((place, None if item.setting.kind in HOLDS_PATHS else item.raw) for place, item in items.items())
    own_directories = user.directories if user else ()
    listed = (text for each in (*definition.config.directories, *own_directories) for text in (each.path, each.place))
    values = chain.from_iterable(options.values() for options in definition.config.options.values())
    mentioned = definition.words() | {word for each in own_directories for word in each.who}
    return _Way(definition, user=user, mentioned=mentioned, each=of_keys(chain(values, listed)), alike=alike)


def _with_items(definition: JailDefinition, items: Mapping[tuple[str, str], Item]) -> JailDefinition:
    config = by_key.with_items(definition.config, items)
    if config.plugins == definition.config.plugins:
        return replace(definition, config=config)
    facts = replace(definition.facts, plugins=config.plugins)
    plugins = tuple(plugin for plugin in definition.plugins if plugin.name in config.plugins)
    return replace(definition, config=config, plugins=plugins, facts=facts)


def _not_in_image(
    base: JailDefinition, own: JailDefinition, items: Mapping[tuple[str, str], Item]
) -> Iterator[ConfigError]:
    """Yield an error for each plugin whose settings for a key need what the image, which all share, does not have."""
    for plugin in base.plugins:
        mine = [item for (section, _), item in items.items() if section == plugin.name]
        if not mine:
            continue
        there, wanted = (each.needs_of(plugin, base.facts) for each in (base, own))
        lacks = [
            str(value[0] if isinstance(value, tuple) else value)
            for field in fields(ImageNeeds)
            for value in getattr(wanted, field.name)
            if value not in getattr(there, field.name)
        ]
        if lacks:
            named = ", ".join(f"{item.origin} {item.setting.name}" for item in mine)
            why = f"[{plugin.name}] needs {', '.join(lacks)}, which the image of jail {base.name} does not have"
            hint = "all keys share the image: write the setting into the jail too, and what other keys have for them"
            yield ConfigError(named, why, hint=hint)
