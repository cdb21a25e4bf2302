"""How an account in a jail asks for changes of itself: the socket, the words, and the limits of a request.

``jailssh/ask`` (C, in the jail) sends one request, ``selfservice`` judges it.  A request is fields, each ended by a NUL
byte: the version, the wish, its arguments, the word that says that nothing is cut off.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from jailssh.core.closed import Word

PLUGIN: Final = "self-service"
PLACE: Final = "/run/jailssh/self/shown"
"""The directory of the host with the socket.  The one above is root's alone: only jails that show it lead there."""
INSIDE: Final = "/run/jailssh"
"""Where a jail shows it."""
SOCKET: Final = "socket"
OUTGOING: Final = ".ssh-outgoing"
"""The directory of a home with the account's keys for connections to elsewhere, as ``.ssh`` is closed in jails."""
VERSION: Final = "1"
END: Final = "end"
RSA_MOST: Final = 8192
"""Bits of an RSA key: a larger one would not fit into a field of the journal, from which it can be given back."""
MOST: Final = 16384
"""Bytes of a request; REQUEST_MAX in ``jailssh/ask/main.c``."""


class Wish(Word):
    """What is asked for."""

    LIST = "list"
    ADD = "add"
    REMOVE = "remove"
    PASSWORD = "password"  # noqa: S105, a word


ARGUMENTS: Final[Mapping[Wish, int]] = MappingProxyType({Wish.LIST: 0, Wish.ADD: 2, Wish.REMOVE: 2, Wish.PASSWORD: 2})
"""How many arguments each has: name and key; name and "last" or nothing; the present password, empty for a first one,
and the new one."""

KEY_TYPES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "ed25519": ("ssh-ed25519",),
        "sk-ed25519": ("sk-ssh-ed25519@openssh.com",),
        "ecdsa": ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
        "sk-ecdsa": ("sk-ecdsa-sha2-nistp256@openssh.com",),
        "rsa": ("ssh-rsa",),
    }
)
"""Types of keys as the setting ``key_types`` names them (ssh-keygen(1), -t), and as keys say them."""
