"""Directories of the host that a jail shows: they must be there, or every login would be refused."""

from __future__ import annotations

import os
from collections.abc import Sequence

from jailssh.config.jails import JailConfig, place_of
from jailssh.core.closed import Shown
from jailssh.core.errors import ConfigError, raise_all
from jailssh.core.names import is_below
from jailssh.jail.writable import default_acls
from jailssh.plugin.api import Account, PluginResult


def check_directories(config: JailConfig, results: Sequence[PluginResult], account: Account) -> None:
    """Raise for each directory outside of the home that ``results``, one of each plugin, show and that is not there."""
    missing = {
        (plugin, bind.path): ConfigError(
            place_of(config, plugin, bind.path, account.home),
            f"{bind.path!r} is not a directory",
            hint=f"create it, owned by the account that writes: mkdir -p {bind.path}",
        )
        for plugin, result in zip(config.plugins, results, strict=True)
        for bind in result.binds
        if not bind.optional and not is_below(bind.path, account.home) and not os.path.isdir(bind.path)
    }
    raise_all(list(missing.values()))
    check_default_acls(config, results, account)


def check_default_acls(config: JailConfig, results: Sequence[PluginResult], account: Account) -> None:
    """Raise for default ACLs where a rule promises that what it takes is kept.

    The kernel ignores the umask there, and before Linux 6.2 the modes of new files are all that such a rule rests on.
    """
    keepers = [
        name for name, given in zip(config.plugins, results, strict=True) if any(r.create_only for r in given.rules)
    ]
    if not keepers:
        return
    written = {bind.path for given in results for bind in given.binds if bind.writable}
    written |= {account.home} if any(given.home == Shown.WRITABLE for given in results) else set()
    written = set(map(account.on_host, written))
    raise_all(
        [
            ConfigError(
                place_of(config, keepers[0], path, account.home),
                f"{found} has a default ACL (acl(5)), so new files can stay writable",
                hint=f"setfacl -k {found}",
            )
            for path in sorted(written)
            for found in default_acls(path)
        ]
    )


def missing_in_home(config: JailConfig, results: Sequence[PluginResult], account: Account) -> list[ConfigError]:
    """Return what is to be said of directories in the account's home that rules read and that are not there.

    What may be written to is made at the next login, with the account's rights.
    """
    missing = {}
    for plugin, result in zip(config.plugins, results, strict=True):
        roots = {bind.path for bind in result.binds if not bind.optional and not bind.writable}
        inside = [root for root in roots if root.startswith(f"{account.home}/")]
        if not os.path.isdir(account.on_host(account.home)):
            continue
        for root in sorted(root for root in map(account.on_host, inside) if not os.path.isdir(root)):
            missing[root] = ConfigError(
                place_of(config, plugin, root, account.home),
                f"{root} does not exist, so {account.name} cannot log in",
                hint=f"install -d -o {account.name} -g {account.group} {root}",
            )
    return list(missing.values())
