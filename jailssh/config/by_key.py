"""What a named key of a shared account may have of its own, and its jail with that in it.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from jailssh.config.jails import JailConfig, OptionsOf
from jailssh.config.key_sections import Given, KeySection
from jailssh.config.reader import Document, Item, RawSetting, did_you_mean, read_section
from jailssh.config.settings import JAIL, RLIMITS, Setting, plugin_settings
from jailssh.config.values import UNSET
from jailssh.core.closed import Network, Recorded
from jailssh.core.errors import ConfigError, JailsshError, raise_all
from jailssh.plugin.api import Value

LIMITS = "limits"
_REACHES = (Network.HOST, Network.OUTBOUND)
_TOP = ("plugins", "network", "message", "umask", "tmp_size", "record", "record_size")
"""Settings of a jail's own that a login has; the others are those of the image, or of all logins of the account."""
BY_KEY = (*RLIMITS, "max_sessions_per_key", "max_duration", "idle_timeout", "nice", "bandwidth", "addresses", "hours",
           "expires")  # fmt: skip
"""Those of the section ``limits`` that a login has."""
_NOT_BY_KEY = "holds for the whole account and cannot differ by key"


def check(sections: Iterable[KeySection], config: JailConfig, options_of: OptionsOf) -> None:
    """Raise every error in the settings of ``sections``, whether a key has them or not, for accounts in a jail."""
    errors: list[JailsshError] = []
    for each in sections:
        read(config, {(each.section, name): entry for name, entry in each.entries.items()}, options_of, errors, each)
    raise_all(errors)


def read(
    config: JailConfig,
    given: Given,
    options_of: OptionsOf,
    errors: list[JailsshError],
    where: KeySection | None = None,
) -> dict[tuple[str, str], Item]:
    """Return what is given as items of the jail ``config``; adds to ``errors`` what it cannot have.

    ``where``: the section that they are all from, named in errors.
    """
    sections: dict[str, dict[str, RawSetting]] = {}
    for (section, name), entry in given.items():
        sections.setdefault(section, {})[name] = entry
    if where is not None and not sections:
        sections[where.section] = {}
    items: dict[tuple[str, str], Item] = {}
    for section, entries in sections.items():
        origin = where.origin if where else next(iter(entries.values())).origin
        rows = _rows(config, section, origin, options_of, errors)
        if rows is None:
            continue
        allowed = {row.name for row in rows}
        for name in [name for name in entries if name not in allowed and _is_of_account(section, name)]:
            errors.append(ConfigError(entries.pop(name).origin, f"{name} {_NOT_BY_KEY}", hint=_hint(section)))
        document = Document(origin, MappingProxyType({section: MappingProxyType(entries)}), MappingProxyType({}))
        known = read_section(document, section, rows, errors)
        items |= {(section, name): known[name] for name in entries if name in known}
    if ("", "plugins") in items:
        _check_plugins(items["", "plugins"], config, errors)
    network = items.get(("", "network"))
    if network is not None and network.value in _REACHES and network.value != config.network:
        why = f"network: the image of jail {config.name} is not made for network = {network.value}"
        hint = f"write network = {network.value} into the jail, and for other keys what they shall have"
        errors.append(ConfigError(network.origin, why, hint=hint))
    return items


def _rows(
    config: JailConfig, section: str, origin: str, options_of: OptionsOf, errors: list[JailsshError]
) -> list[Setting] | None:
    """Return the settings that a section may have for a key, None for a section that the jail does not have."""
    if section in ("", LIMITS):
        names = BY_KEY if section else _TOP
        return [row for row in JAIL if row.section == section and row.name in names]
    if section not in config.plugins:
        why = f"section [{section}] has no effect: jail {config.name} does not have plugin {section}"
        hint = did_you_mean(section, (*config.plugins, LIMITS))
        errors.append(ConfigError(origin, why, hint=hint))
        return None
    return list(plugin_settings(section, options_of(section)))


def _is_of_account(section: str, name: str) -> bool:
    return section in ("", LIMITS) and any(row.section == section and row.name == name for row in JAIL)


def _hint(section: str) -> str:
    names = BY_KEY if section else _TOP
    return f"allowed by key: {', '.join(sorted(names))}"


def _check_plugins(item: Item, config: JailConfig, errors: list[JailsshError]) -> None:
    wanted = item.value if isinstance(item.value, tuple) else ()
    if not wanted:
        hint = "to shut a key out: jailssh keys remove"
        errors.append(ConfigError(item.origin, "plugins: a key without any plugin cannot do anything", hint=hint))
    for name in sorted(set(wanted).difference(config.plugins)):
        why = f"plugins: jail {config.name} does not have plugin {name}"
        errors.append(ConfigError(item.origin, why, hint=did_you_mean(name, config.plugins)))


def with_items(config: JailConfig, items: Mapping[tuple[str, str], Item]) -> JailConfig:
    """Return the jail ``config`` with these settings in the place of its own."""
    if not items:
        return config
    options = {plugin: dict(values) for plugin, values in config.options.items()}
    limits, access = dict(config.limits), dict(config.access)
    top: dict[str, object] = {}
    for (section, name), item in items.items():
        if not section:
            top[name] = _as_read(name, item.value)
        elif section != LIMITS:
            options[section][name] = item.value
        elif name not in RLIMITS:
            access[name] = item
        elif isinstance(item.value, int) and item.value != UNSET:
            limits[name] = item.value
        else:
            limits.pop(name, None)
    shown = tuple(items.get((each.setting.section, each.setting.name), each) for each in config.items)
    frozen = MappingProxyType({plugin: MappingProxyType(values) for plugin, values in options.items()})
    return replace(config, options=frozen, limits=MappingProxyType(limits), access=MappingProxyType(access),
                   items=shown, **top)  # type: ignore[arg-type]  # fmt: skip


def _as_read(name: str, value: Value) -> object:
    """Return a setting of the jail's own as :class:`JailConfig` has it."""
    if name == "network":
        return Network(str(value))
    if name == "record":
        return Recorded(str(value))
    return tuple(sorted(set(value))) if name == "plugins" and isinstance(value, tuple) else value
