"""Directories that belong to the system: a tree of somebody's own is never made of one, in one, or around one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from jailssh.core.names import is_below
from jailssh.files.mounts import Mount, mounts_of

# Only themselves: what lies below is the administrator's (/srv/x, /var/lib/x, /usr/local/jails).
_OPEN = (
    "/", "/home", "/media", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/usr", "/usr/local", "/var",  # noqa: S108
    *(f"/var/{name}" for name in ("backups", "cache", "lib", "local", "log", "mail", "opt", "spool", "tmp")),
    *(f"/usr/local/{name}" for name in (
        "bin", "etc", "games", "include", "lib", "lib64", "libexec", "man", "sbin", "share", "src")),
)  # fmt: skip
# With all that lies below: what the kernel, packages, or this program put there.
_CLOSED = (
    "/bin", "/boot", "/dev", "/efi", "/etc", "/lib", "/lib32", "/lib64", "/libo32", "/libx32", "/proc", "/sbin", "/sys",
    "/run/jailssh", "/run/lock", "/run/systemd", "/run/udev", "/run/user",
    *(f"/usr/{name}" for name in (
        "bin", "games", "include", "lib", "lib32", "lib64", "libexec", "libo32", "libx32", "sbin", "share", "src")),
    *(f"/var/lib/{name}" for name in ("apt", "dpkg", "jailssh", "pacman", "rpm", "systemd", "ucf")),
)  # fmt: skip
_EXCEPT = ("/dev/shm",)  # noqa: S108 - what somebody makes below it is theirs


def system_place(path: str) -> str:
    """Return the system's directory that the absolute ``path`` is, lies in or holds, by whatever name; "" for none.

    Symbolic links are followed, and a bind mount is what it shows.
    """
    for name in dict.fromkeys((path, os.path.realpath(path))):
        for known in (name, *_other_names(name)):
            if found := _named(known):
                return found
    return _same_directory(path)


def _named(path: str) -> str:
    if path in _OPEN:
        return path
    if any(is_below(path, place) and path != place for place in _EXCEPT):
        return ""
    return next((place for place in _CLOSED if is_below(path, place) or is_below(place, path)), "")


def _other_names(path: str) -> Iterator[str]:
    """Yield where else in this mount namespace the same directory is seen (proc(5), mountinfo)."""
    mounts: list[Mount] = []
    with suppress(OSError):  # without /proc: see _same_directory
        mounts = mounts_of()
    above = [mount for mount in mounts if is_below(path, mount.point)]
    if not above:
        return
    # Of several at one place the last one is seen.
    own = max(reversed(above), key=lambda mount: len(mount.point))
    inside = _joined(own.root, _rest(path, own.point))
    for mount in mounts:
        if mount.device == own.device and is_below(inside, mount.root):
            yield _joined(mount.point, _rest(inside, mount.root))


def _rest(path: str, above: str) -> str:
    return path[len(above.rstrip("/")) :].strip("/")


def _joined(above: str, rest: str) -> str:
    return f"{above.rstrip('/')}/{rest}".rstrip("/") or "/"


def _same_directory(path: str) -> str:
    """Do the same by device and inode, for what no list of mounts tells (a chroot without /proc)."""
    inner = os.path.lexists(path)
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    while path != "/":
        for place in (*_CLOSED, *(_OPEN if inner else ())):
            with suppress(OSError):
                if path != place and os.path.samestat(os.stat(path), os.stat(place)):
                    return place
        path, inner = os.path.dirname(path), False
    return ""
