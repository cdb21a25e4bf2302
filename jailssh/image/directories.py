"""Directories of the host that a jail shows: they must be there, or every login would be refused."""

from __future__ import annotations

import os
from collections.abc import Sequence

from jailssh.config.jails import JailConfig, place_of
from jailssh.config.reader import raise_all
from jailssh.core.errors import ConfigError
from jailssh.core.names import is_below
from jailssh.plugin.api import Account, PluginResult


def check_directories(config: JailConfig, results: Sequence[PluginResult], account: Account) -> None:
    """Raise for each directory outside of the home that ``results``, one of each plugin, show and that is not there."""
    missing = {
        (plugin, bind.path): ConfigError(
            place_of(config, plugin, bind.path, account.home),
            f"{bind.path} is no directory on this host",
            hint=f"make it: mkdir -p {bind.path}, owned by who may write",
        )
        for plugin, result in zip(config.plugins, results, strict=True)
        for bind in result.binds
        if not bind.optional and not is_below(bind.path, account.home) and not os.path.isdir(bind.path)
    }
    raise_all(list(missing.values()))


def missing_in_home(config: JailConfig, results: Sequence[PluginResult], account: Account) -> list[ConfigError]:
    """Return what is to be said of directories in the account's home that rules read and that are not there.

    What may be written to is made at the next login, with the account's rights.
    """
    missing = {}
    for plugin, result in zip(config.plugins, results, strict=True):
        roots = {bind.path for bind in result.binds if not bind.optional and not bind.writable}
        inside = [root for root in roots if root.startswith(f"{account.home}/")]
        for root in sorted(root for root in inside if os.path.isdir(account.home) and not os.path.isdir(root)):
            missing[root] = ConfigError(
                place_of(config, plugin, root, account.home),
                f"{root} is not there, so {account.name} cannot log in",
                hint=f"make it: install -d -o {account.name} -g {account.group} {root}",
            )
    return list(missing.values())
