"""Directories of a tree that somebody else may have filled: reached without following or leaving anything."""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from jailssh.files import fs

_SYS_OPENAT2 = 437  # The same number on every architecture (linux/unistd.h).
_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_RESOLVE = _RESOLVE_NO_XDEV | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HOW = struct.pack("=QQQ", _FLAGS, 0, _RESOLVE)
# A kernel without it, and seccomp filters that do not know it.
_ABSENT = (errno.ENOSYS, errno.EPERM)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def open_beneath(root: int, path: str) -> int:
    """Return a descriptor of the directory ``path`` below the open directory ``root`` ("" for itself); OSError.

    Nothing is followed, and a mount point on the way is an error (EXDEV): the tree ends where another begins.
    """
    below = path.strip("/")
    if not below:
        return fs.open_dir_at(root, "")
    try:
        return _openat2(root, below)
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
    return open_stepwise(root, below)


def _openat2(root: int, path: str) -> int:
    name = ctypes.c_char_p(os.fsencode(path))
    fd = int(_libc.syscall(_SYS_OPENAT2, root, name, _HOW, len(_HOW)))
    if fd < 0:
        code = ctypes.get_errno()
        # ELOOP says that a link stands in the place of a directory, as ENOTDIR does for other things.
        raise OSError(errno.ENOTDIR if code == errno.ELOOP else code, os.strerror(code), path)
    return fd


def open_stepwise(root: int, path: str) -> int:
    """Do the same by single steps, as kernels before 5.6 need it; a mount of the same file system passes unseen."""
    device = os.fstat(root).st_dev
    fd = fs.open_dir_at(root, path)
    if os.fstat(fd).st_dev != device:
        os.close(fd)
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), path)
    return fd


def sync_file_system(fd: int) -> None:
    """Write everything of the file system of ``fd`` to disk (syncfs(2)); OSError."""
    if _libc.syncfs(fd):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
