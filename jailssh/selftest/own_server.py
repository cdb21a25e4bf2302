"""Logins to an account that need no key of its: each by an sshd of our own, with the host's configuration and one key.

sshd serves the one connection that it is given (``-i`` of sshd(8)), so nothing new listens; PAM, Match blocks, forced
commands and shells are the host's.  The key is in a file below ``/run``, and gone with it: nothing of the account is
changed, also where this process is killed.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from jailssh.core.errors import HostError
from jailssh.files import fs
from jailssh.host import accounts, install, process
from jailssh.host.paths import Layout
from jailssh.selftest import servers
from jailssh.selftest.client import ClientKey, Connection
from jailssh.selftest.servers import Place
from jailssh.services import sshd, units

_LIMIT = 1 << 20
_ENDING = 10.0
_KEYS = re.compile(r"^([ \t]*AuthorizedKeysFile[ \t]+).*$", re.MULTILINE | re.IGNORECASE)


class _Own(Connection):
    def __init__(self, place: Place, user: str, key: ClientKey, argv: list[str]) -> None:
        super().__init__(place, user, key)
        self._argv = argv
        self._children: list[process.Running] = []

    def open_socket(self) -> socket.socket:
        """Return the client's end of a connection that an sshd of our own serves."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            made = socket.create_connection(listener.getsockname())
            served, _ = listener.accept()
        with served:
            self._children.append(process.start(self._argv, on=served.fileno()))
        return made

    def close(self) -> None:
        """End it, and what served it."""
        super().close()
        for child in self._children:
            with suppress(HostError):  # one that does not end is killed
                child.finish(timeout=_ENDING)
        self._children = []


@contextmanager
def own_connection(layout: Layout, name: str, options: str = "") -> Iterator[Connection]:
    """Give a connection to the account by a key made for it; ``options`` are those of its line, as in ``command="…"``.

    Raises :class:`CannotTryError` where sshd's configuration keeps such a login out for another reason than the key.
    """
    values = servers.effective(layout, name)
    key = ClientKey.make()
    folder = f"{layout.run}-trial-{secrets.token_hex(8)}"
    fs.ensure_dir(folder, 0o711)
    try:
        keys, config = f"{folder}/key", f"{folder}/sshd_config"
        fs.atomic_write(keys, f"{options} ssh-ed25519 {key.blob}\n".lstrip().encode(), mode=0o644)
        fs.atomic_write(config, _config(layout, folder, keys).encode("utf-8", "surrogateescape"), mode=0o600)
        place = Place("127.0.0.1", 0, servers.host_keys(values.get("hostkey", ())))
        argv = [
            process.find_program("sshd") or "sshd",
            "-i",
            "-f",
            config,
            "-o",
            f"AuthorizedKeysFile={keys}",
            "-o",
            "PidFile=none",
        ]
        with _Own(place, name, key, argv) as connection:
            yield connection
        if entry := accounts.find(name):
            units.end_waiting_manager(entry.uid)
    finally:
        for file in os.listdir(folder):
            with suppress(HostError):
                fs.remove_file(f"{folder}/{file}")
        install.remove_empty_dir(folder)


def _config(layout: Layout, folder: str, keys: str) -> str:
    """Return the host's configuration with this one file of keys in the place of those of jailed accounts."""
    ours = install.read_optional(layout.sshd_drop_in, _LIMIT)
    if ours is None:
        return sshd.read_main(layout)
    candidate = f"{folder}/drop-in"
    text = _KEYS.sub(rf"\g<1>{keys}", ours.decode("utf-8", "surrogateescape"))
    fs.atomic_write(candidate, text.encode("utf-8", "surrogateescape"), mode=0o600)
    return sshd.main_with(layout, candidate)
