"""Pinned namespaces: those that the login program has pinned (jailssh/login/pin.c, net_pin.c), and one's own."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Collection

from jailssh.files import fs

_MS_BIND = 4096
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8
_KIND = re.compile(r"(?:tree-|image-)?([0-9a-f]+-[0-9a-f]+)\Z")


def unpin(run: str, image: os.stat_result) -> bool:
    """Unmount and remove what is pinned for the directory with this status; False if nothing was.

    ``run`` is the directory of the pins' directory ``ns``.  Has an effect in the host's own mount namespace only
    (umount(2)); a session that runs keeps what it has.
    """
    name = f"{image.st_dev:x}-{image.st_ino:x}"
    # The others are the names that versions before this one gave to theirs.
    return any(list(map(let_go, (f"{run}/ns/{kind}{name}" for kind in ("tree-", "image-", "")))))


def strange(run: str, known: Collection[tuple[int, int]]) -> list[str]:
    """Return what is pinned for directories other than those with these devices and inodes, sorted."""
    names = {f"{device:x}-{inode:x}" for device, inode in known}
    folder = f"{run}/ns"
    found = os.listdir(folder) if os.path.isdir(folder) else []
    kinds = (_KIND.match(name) for name in found)
    return sorted(f"{folder}/{match[0]}" for match in kinds if match and match[1] not in names)


def let_go(path: str) -> bool:
    """Unmount and remove one pin; False if it was not there."""
    return unmount(path) and fs.remove_file(path)


def unmount(path: str) -> bool:
    """Unmount one pin and leave its file; False if that was not there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), _MNT_DETACH | _UMOUNT_NOFOLLOW) != 0:
        number = ctypes.get_errno()
        if number == errno.ENOENT:
            return False
        # A file that nothing is mounted on is left by a login that was interrupted.
        if number != errno.EINVAL:
            raise fs.failed("unpin", path, OSError(number, os.strerror(number)))
    return True


def pin(namespace: str, path: str) -> None:
    """Pin a namespace, the path of which is below /proc, to a file of root's that is made if it is missing."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise fs.failed("pin", path, error) from error
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(namespace), os.fsencode(path), None, ctypes.c_ulong(_MS_BIND), None) != 0:
        number = ctypes.get_errno()
        raise fs.failed("pin", path, OSError(number, os.strerror(number)))
