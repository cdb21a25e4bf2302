"""Find the plugins.

Plugins are entry points of the group ``jailssh.plugins``.  Those of the jailssh distribution may always be used;
others only when ``third_party_plugins`` names them, and they are not even imported before.  A plugin that cannot be
used is a value with a reason: ``jailssh plugins`` lists it, and only a jail that uses it fails.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from jailssh.core.errors import ConfigError
from jailssh.plugin.answers import described, type_mismatch
from jailssh.plugin.api import API_VERSION, Option, Plugin

GROUP = "jailssh.plugins"
DISTRIBUTION = "jailssh"


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that is announced and cannot be used, the distribution that announces it, why, and what to do."""

    name: str
    distribution: str
    reason: str
    hint: str = ""


@dataclass(frozen=True)
class Registry:
    """The plugins by name, the distribution that each is from, and the broken ones."""

    plugins: Mapping[str, Plugin]
    origins: Mapping[str, str]
    broken: Mapping[str, BrokenPlugin]

    def get(self, name: str) -> Plugin:
        """Return the plugin ``name``; raises :class:`ConfigError` saying why it cannot be used."""
        plugin = self.plugins.get(name)
        if plugin is not None:
            return plugin
        if name in self.broken:
            raise ConfigError(f"plugin {name}", self.broken[name].reason, hint=self.broken[name].hint)
        raise ConfigError(f"plugin {name}", "does not exist", hint=f"one of: {', '.join(sorted(self.plugins))}")

    def options(self, name: str) -> Sequence[Option]:
        """Return the options of the plugin ``name``; raises as :meth:`get` does."""
        return self.get(name).options


def load_registry(third_party: Collection[str] = ()) -> Registry:
    """Return all plugins of this Python's installed distributions; ``third_party`` may be used beside our own."""
    announced: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for entry in importlib.metadata.entry_points(group=GROUP):
        announced.setdefault(entry.name, []).append(entry)
    plugins: dict[str, Plugin] = {}
    origins: dict[str, str] = {}
    broken: dict[str, BrokenPlugin] = {}
    for name in sorted(announced):
        owners = sorted({_distribution(entry) for entry in announced[name]})
        origins[name] = ", ".join(owners)
        reason, hint = _refusal(name, owners, third_party)
        if not reason:
            loaded = _load(announced[name][0])
            if isinstance(loaded, str):
                reason, hint = loaded, "the plugin is at fault: correct it, or do not use it"
            else:
                plugins[name] = loaded
        if reason:
            broken[name] = BrokenPlugin(name, origins[name], reason, hint)
    return Registry(MappingProxyType(plugins), MappingProxyType(origins), MappingProxyType(broken))


def _distribution(entry: importlib.metadata.EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else "unknown"


def _refusal(name: str, owners: Sequence[str], third_party: Collection[str]) -> tuple[str, str]:
    if len(owners) > 1:
        return f"offered by several distributions: {' and '.join(owners)}", "uninstall all of them but one"
    if owners[0].lower() != DISTRIBUTION and name not in third_party:
        hint = f"to allow it, add {name} to third_party_plugins in jailssh.conf"
        return f"is from {owners[0]}, which third_party_plugins does not list", hint
    return "", ""


def _load(entry: importlib.metadata.EntryPoint) -> Plugin | str:
    """Return the plugin, or why it cannot be used."""
    try:
        plugin = entry.load()
        return _unfit(plugin, entry.name) or plugin
    # A third party's module may raise anything, even end the program, and must not take the others down.
    except (Exception, SystemExit) as error:
        return f"cannot be loaded: {described(error)}"


def _unfit(plugin: Plugin, name: str) -> str:
    wanted = ("api_version", "name", "summary", "options", "image", "account")
    if missing := [attribute for attribute in wanted if not hasattr(plugin, attribute)]:
        return f"lacks {', '.join(missing)}"
    if plugin.api_version != API_VERSION:
        return f"plugin interface is {plugin.api_version!r}, expected {API_VERSION}"
    if plugin.name != name:
        return f"name is {plugin.name!r}, expected {name!r}"
    if fault := type_mismatch(plugin.summary, str, "summary") or type_mismatch(
        plugin.options, tuple[Option, ...], "options"
    ):
        return f"does not match the interface: {fault}"
    return ""
