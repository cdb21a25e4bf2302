"""Letting go of the namespaces that the login program has pinned for an image (jailssh/login/pin.c)."""

from __future__ import annotations

import ctypes
import errno
import os

from jailssh.files import fs

_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8


def unpin(run: str, image: os.stat_result) -> bool:
    """Unmount and remove what is pinned for the directory with this status; False if nothing was.

    ``run`` is the directory of the pins' directory ``ns``.  Has an effect in the host's own mount namespace only
    (umount(2)); a session that runs keeps what it has.
    """
    name = f"{image.st_dev:x}-{image.st_ino:x}"
    # The others are the names that versions before this one gave to theirs.
    return any(list(map(_unpin, (f"{run}/ns/{kind}{name}" for kind in ("tree-", "image-", "")))))


def _unpin(path: str) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), _MNT_DETACH | _UMOUNT_NOFOLLOW) != 0:
        number = ctypes.get_errno()
        if number == errno.ENOENT:
            return False
        # A file that nothing is mounted on is left by a login that was interrupted.
        if number != errno.EINVAL:
            raise fs.failed("unpin", path, OSError(number, os.strerror(number)))
    return fs.remove_file(path)
