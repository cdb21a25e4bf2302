"""The devices whose numbers are the same on every Linux (Documentation/admin-guide/devices.txt of the kernel)."""

from __future__ import annotations

from typing import Final

from jailssh.core.closed import Word


class DeviceType(Word):
    """What a node is, in the words of mknod(1); ``s`` is a socket."""

    CHAR = "c"
    BLOCK = "b"
    FIFO = "p"
    SOCKET = "s"


UNNUMBERED = (DeviceType.FIFO, DeviceType.SOCKET)
"""Nodes without numbers."""

# Harmless, and useless unless everybody may read and write them; character devices all.
FOR_ALL: Final[dict[str, tuple[int, int]]] = {
    "/dev/null": (1, 3),
    "/dev/zero": (1, 5),
    "/dev/full": (1, 7),
    "/dev/random": (1, 8),
    "/dev/urandom": (1, 9),
    "/dev/tty": (5, 0),
    "/dev/ptmx": (5, 2),
    "/dev/net/tun": (10, 200),
}


def default_mode(type: DeviceType, major: int, minor: int) -> int:
    """Return the mode of a node that names none: 0666 for those for all, 0644 for pipes and sockets, else 0600."""
    if type in UNNUMBERED:
        return 0o644
    return 0o666 if type == DeviceType.CHAR and (major, minor) in FOR_ALL.values() else 0o600
