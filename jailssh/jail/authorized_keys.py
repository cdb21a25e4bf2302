"""An account's keys file: where it is, what it holds, how it is written.  Needs no configuration."""

from __future__ import annotations

from collections.abc import Callable

from jailssh.config import authorized
from jailssh.config.keys import Keyring
from jailssh.core.errors import HostError
from jailssh.files import fs, narrow
from jailssh.host.paths import Layout

MAX_KEYS = 16 << 20


def keys_file(layout: Layout, name: str) -> str:
    """Return the path of the account's root-owned authorized_keys file."""
    return f"{layout.keys}/{name}"


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
    """Make each line of the keys file what ``judge`` says, as :func:`jailssh.files.narrow.lines` does."""

    def each(row: bytes) -> bytes | None:
        if row and not row.strip(b"#"):
            return None  # a line that went when there was no room
        line = judge(row.decode("utf-8", "surrogateescape"))
        return None if line is None else encoded(line)

    return narrow.lines(keys_file(layout, name), each, MAX_KEYS, trusted_root=layout.root or None)


def encoded(content: str) -> bytes:
    """Return what :func:`write` puts into the file; nothing means that there is no file."""
    return content.encode("utf-8", "surrogateescape")
