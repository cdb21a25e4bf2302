"""The keys file of a shared account, made from its key ring; those of other accounts are left alone.

A key that goes is taken out before anything else, one that comes is put in after all else.
"""

from __future__ import annotations

from collections.abc import Callable

from jailssh.config import authorized
from jailssh.config.keys import Keyring, lines_of
from jailssh.core.errors import HostError
from jailssh.host import fs, narrow
from jailssh.host.paths import Layout
from jailssh.image.jail import MAX_KEYS, Configuration
from jailssh.image.use import Use
from jailssh.plugin.api import Account


def keys_file(layout: Layout, name: str) -> str:
    """Return the path of the account's root-owned authorized_keys file."""
    return f"{layout.keys}/{name}"


def wanted(configuration: Configuration, account: Account) -> str:
    """Return what the keys file must hold, "" for an account that is not shared: it has none that was made."""
    use = Use.of(configuration, account)
    if not use.ring.keys:
        return ""
    return text(configuration.layout, account.name, use.ring, terminal=use.terminal())


def text(layout: Layout, name: str, ring: Keyring, *, terminal: bool) -> str:
    """Return what the keys file of the shared account ``name`` holds for this key ring."""
    return authorized.generate(ring, f"{layout.key_rings}/{name}", layout.login_program, terminal=terminal)


def present(layout: Layout, name: str) -> str:
    """Return what the keys file holds, "" where there is none."""
    try:
        data = fs.read_trusted(keys_file(layout, name), MAX_KEYS, trusted_root=layout.root or None)
    except HostError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        return ""
    return data.decode("utf-8", "surrogateescape")


def write(layout: Layout, name: str, content: str) -> None:
    """Put ``content`` into the keys file; without any, the file goes."""
    path = keys_file(layout, name)
    if content:
        # sshd reads the file as the user (AuthorizedKeysFile in sshd_config(5)), so it is readable, and only that.
        fs.atomic_write(path, encoded(content), mode=0o644)
    else:
        fs.remove_file(path)


def without(layout: Layout, name: str, judge: Callable[[str], str | None]) -> str:
    """Make each line of the keys file what ``judge`` says, as :func:`jailssh.host.narrow.lines` does."""

    def each(row: bytes) -> bytes | None:
        if row and not row.strip(b"#"):
            return None  # a line that went when there was no room
        line = judge(row.decode("utf-8", "surrogateescape"))
        return None if line is None else encoded(line)

    return narrow.lines(keys_file(layout, name), each, MAX_KEYS, trusted_root=layout.root or None)


def encoded(content: str) -> bytes:
    """Return what :func:`write` puts into the file; nothing means that there is no file."""
    return content.encode("utf-8", "surrogateescape")


def change(configuration: Configuration, account: Account) -> list[str]:
    """Return how the keys file will change, for people."""
    old, new = _both(configuration, account)
    if old == new:
        return []
    lines = {True: set(lines_of(old)), False: set(lines_of(new))}
    path = keys_file(configuration.layout, account.name)
    return [f"~ {path}: {len(lines[False] - lines[True])} lines come, {len(lines[True] - lines[False])} go"]


def widen(configuration: Configuration, account: Account) -> None:
    """Write what the keys file must hold."""
    old, new = _both(configuration, account)
    if old != new:
        write(configuration.layout, account.name, new)


def _both(configuration: Configuration, account: Account) -> tuple[str, str]:
    """Return what the keys file holds and what it must hold; the same where it was not made from a key ring."""
    old, new = present(configuration.layout, account.name), wanted(configuration, account)
    return (old, new) if new or authorized.is_generated(old) else (old, old)
