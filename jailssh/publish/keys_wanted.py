"""The keys file of a shared account, made from its key ring; those of other accounts are left alone.

A key that goes is taken out before anything else, one that comes is put in after all else.
"""

from __future__ import annotations

from jailssh.config import authorized
from jailssh.config.keys import lines_of
from jailssh.jail import authorized_keys
from jailssh.jail.configuration import Configuration
from jailssh.plugin.api import Account
from jailssh.publish.account_plan import Use


def wanted(configuration: Configuration, account: Account, use: Use | None = None) -> str:
    """Return what the keys file must hold, "" for an account that is not shared: it has none that was made."""
    if not (configuration.keyring(account.name) if use is None else use.ring).keys:
        return ""
    use = use or Use.of(configuration, account)
    return authorized_keys.text(configuration.layout, account.name, use.ring, terminal=use.terminal())


def change(configuration: Configuration, account: Account, use: Use | None = None) -> list[str]:
    """Return how the keys file will change, for people; ``use``: of the account, where it is known."""
    old, new = _both(configuration, account, use)
    if old == new:
        return []
    lines = {True: set(lines_of(old)), False: set(lines_of(new))}
    path = authorized_keys.keys_file(configuration.layout, account.name)
    return [f"~ {path}: {len(lines[False] - lines[True])} lines added, {len(lines[True] - lines[False])} removed"]


def widen(configuration: Configuration, account: Account, use: Use) -> None:
    """Write what the keys file must hold: ``use`` if it is still true, for a key may have been taken away meanwhile."""
    old, new = _both(configuration, account, use if use.is_current(configuration) else None)
    if old != new:
        authorized_keys.write(configuration.layout, account.name, new)


def _both(configuration: Configuration, account: Account, use: Use | None = None) -> tuple[str, str]:
    """Return what the keys file holds and what it must hold; the same where it was not made from a key ring."""
    old, new = authorized_keys.present(configuration.layout, account.name), wanted(configuration, account, use)
    return (old, new) if new or authorized.is_generated(old) else (old, old)
