"""Services of this host that a jail reaches by their sockets: names that people use, and directories below ``/run``."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

from jailssh.core.names import HostPath, is_clean_absolute

SERVICES = MappingProxyType({
    "memcached": ("/run/memcached",),
    "mysql": ("/run/mysqld", "/run/mariadb"),
    "postgresql": ("/run/postgresql",),
    "redis": ("/run/redis", "/run/valkey"),
})  # fmt: skip
"""Where distributions have the sockets of a service; which of them is there, a login finds out."""
_POWER = (
    "buildkit", "containerd", "credentials", "crio", "cryptsetup", "dbus", "docker", "fail2ban", "haproxy", "incus",
    "jailssh", "k0s", "k3s", "libvirt", "lock", "log", "lxc", "lxd", "mount", "podman", "proc", "snapd", "sshd", "sudo",
    "supervisor", "systemd", "udev", "user",
)  # fmt: skip
"""Directories below ``/run`` with sockets or files by which somebody becomes root, or that are the jail's own."""
_RUN = "/run/"


def directories(words: Iterable[str]) -> tuple[HostPath, ...]:
    """Return the directories that the setting ``services`` shows, sorted; ValueError for what cannot be one."""
    found: set[str] = set()
    for word in words:
        if word in SERVICES:
            found.update(SERVICES[word])
        elif not word.startswith(_RUN) or not is_clean_absolute(word):
            names = ", ".join(SERVICES)
            raise ValueError(f"{word!r} is not one of {names} and not a directory below /run")
        elif word.split("/")[2] in _POWER:
            raise ValueError(f"{word!r} has sockets that give power over this host")
        else:
            found.add(word)
    return tuple(map(HostPath, sorted(found)))
