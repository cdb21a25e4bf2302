"""Directories of the host that a jail shows: they must be there, or every login would be refused."""

from __future__ import annotations

import os
from collections.abc import Sequence

from jailssh.config.jails import JailConfig, place_of
from jailssh.core.closed import Shown
from jailssh.core.errors import ConfigError, raise_all
from jailssh.core.names import escape, is_below, pasted
from jailssh.jail.listed import faults_of
from jailssh.jail.shown import entries
from jailssh.jail.this_host import THIS_HOST, ThisHost
from jailssh.jail.writable import default_acls
from jailssh.plugin.api import Account, Bind, PluginResult


def check_directories(
    config: JailConfig, results: Sequence[PluginResult], account: Account, host: ThisHost = THIS_HOST
) -> None:
    """Raise for each directory outside of the home that ``results``, one of each plugin, show and that is not there.

    What ``[directories]`` lists must be reached without links, and have the group that it gives to new files.
    """
    listed = {entry.source for entry in entries(config, account, host) or ()}
    missing = {
        (plugin, bind.path): ConfigError(
            place_of(config, plugin, bind.path, account.home),
            f"{account.source_of(bind)!r} is not a directory",
            hint=f"create it, owned by the account that writes: mkdir -p {account.source_of(bind)}",
        )
        for plugin, result in zip(config.plugins, results, strict=True)
        for bind in result.binds
        if not (bind.optional or _is_at_home(bind, account) or account.source_of(bind) in listed)
        and not os.path.isdir(account.source_of(bind))
    }
    raise_all(faults_of(config, account, host))
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
    written = {account.source_of(bind) for given in results for bind in given.binds if bind.writable}
    if any(given.home == Shown.WRITABLE for given in results):
        written.add(account.on_host(account.home))
    raise_all(
        [
            ConfigError(
                place_of(config, keepers[0], path, account.home),
                f"{escape(found, 200)} has a default ACL (acl(5)), so new files can stay writable",
                hint=f"setfacl -k {pasted(found)}",
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
        read = [bind for bind in result.binds if not bind.optional and not bind.writable]
        inside = {account.source_of(bind) for bind in read if _is_at_home(bind, account)}
        if not os.path.isdir(account.on_host(account.home)):
            continue
        for root in sorted(root for root in inside if not os.path.isdir(root)):
            missing[root] = ConfigError(
                place_of(config, plugin, root, account.home),
                f"{root} does not exist, so {account.name} cannot log in",
                hint=f"install -d -o {account.name} -g {account.group} {root}",
            )
    return list(missing.values())


def _is_at_home(bind: Bind, account: Account) -> bool:
    return is_below(account.source_of(bind), account.on_host(account.home))
