"""Jails that outlive their logins (``linger = yes``): what such a jail cannot also say.  Pure.

``expires`` holds there too: the login program ends the jail.  ``idle_timeout`` is about sessions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jailssh.config.jails import JailConfig
from jailssh.config.reader import Item
from jailssh.config.values import UNSET
from jailssh.core.errors import ConfigError, raise_all
from jailssh.plan.compile import runs_own_code
from jailssh.plugin.api import PluginResult

_OUTLASTED = ("max_duration", "hours")


def refuse_bounds(config: JailConfig, limits: Mapping[str, Item]) -> None:
    """Raise for each limit among ``limits``, by name, that what goes on in the background would outlast."""
    set_ones = [item for name in _OUTLASTED if (item := limits[name]).value not in (UNSET, ())]
    if config.linger:
        where = _line(config)
        raise_all([
            ConfigError(item.origin, f"{item.setting.name} cannot hold what linger = yes ({where}) keeps running",
                        hint=f"remove linger or {item.setting.name}")
            for item in set_ones
        ])  # fmt: skip


def refuse_useless(config: JailConfig, results: Sequence[PluginResult]) -> None:
    """Raise where no plugin of a jail that lingers lets an account run anything; ``results``: what all of them give."""
    if not runs_own_code(results):
        raise ConfigError(
            _line(config),
            "linger = yes has no effect: no plugin of the jail can leave anything in the background",
            hint="remove linger, or use a plugin with a shell",
        )


def _line(config: JailConfig) -> str:
    return next(item.origin for item in config.items if item.setting.name == "linger" and not item.setting.section)
