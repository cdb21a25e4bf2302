"""Quotas of users as the kernel has them (quotactl(2)), on file systems that are named by a directory of theirs.

Also a program, for a service without the power to do so that has systemd start it: it reads a question from its
argument as JSON and writes the answer.  So it needs nothing but Python.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct
import sys
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

_QUOTACTL_FD = 443  # The same number on every architecture (Linux 5.14).
_USERS = 0
_GET, _SET, _STATE = 0x800007, 0x800008, 0x5805  # Q_GETQUOTA, Q_SETQUOTA, Q_XGETQSTAT
_ACCOUNTED, _ENFORCED = 1, 2  # FS_QUOTA_UDQ_ACCT, FS_QUOTA_UDQ_ENFD
_DQBLK = struct.Struct("=8QI4x")
_STATE_SIZE = 256
_FLAGS_AT = 2
_DISK, _FILES = 1, 4  # QIF_BLIMITS, QIF_ILIMITS
_BLOCK = 1024
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOBODY_YET = (errno.ENOENT, errno.ESRCH)
"""XFS has nothing of a user who has no file there and no limit."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the kernel says of one user on one file system: sizes in bytes, 0 is no limit.

    ``error``: the number of the error for which nothing is known, 0 for none.  ``soft``: there is a limit that holds
    after a time of grace.
    """

    error: int = 0
    accounted: bool = False
    enforced: bool = False
    disk: int = 0
    disk_used: int = 0
    disk_soft: bool = False
    files: int = 0
    files_used: int = 0
    files_soft: bool = False


def look(place: str, device: str, uid: int) -> Standing:
    """Return what holds for ``uid`` on the file system of the directory ``place``.

    ``device``: its block device, for kernels that only know it by that.
    """
    try:
        state = _call(place, device, _STATE, 0, bytes(_STATE_SIZE))
        (flags,) = struct.unpack_from("=H", state, _FLAGS_AT)
        accounted, enforced = bool(flags & _ACCOUNTED), bool(flags & _ENFORCED)
        if not accounted:
            return Standing()
        try:
            row = _DQBLK.unpack(_call(place, device, _GET, uid, bytes(_DQBLK.size)))
        except OSError as error:
            if error.errno not in _NOBODY_YET:
                raise
            row = (0,) * 9
    except OSError as error:
        # Where nothing is counted the kernel has no answer; nor has a system without any quotas.
        counts_nothing = error.errno == errno.ESRCH or (error.errno == errno.ENOSYS and _has_quotas())
        return Standing(error=0 if counts_nothing else error.errno or errno.EIO)
    hard, soft, used, files, files_soft, inodes = row[:6]
    return Standing(
        accounted=accounted, enforced=enforced, disk=hard * _BLOCK, disk_used=used, disk_soft=bool(soft),
        files=files, files_used=inodes, files_soft=bool(files_soft),
    )  # fmt: skip


def limit(place: str, device: str, uid: int, disk: int | None, files: int | None) -> int:
    """Hold ``uid`` to these numbers of bytes and files: 0 is no limit, None leaves it; return an error's number or 0.

    No time of grace: what is over it is refused at once.
    """
    valid = (_DISK if disk is not None else 0) | (_FILES if files is not None else 0)
    blocks = -(-(disk or 0) // _BLOCK)
    try:
        _call(place, device, _SET, uid, _DQBLK.pack(blocks, 0, 0, files or 0, 0, 0, 0, 0, valid))
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _call(place: str, device: str, command: int, uid: int, data: bytes) -> bytes:
    buffer = ctypes.create_string_buffer(data, len(data))
    number = ctypes.c_int(command << 8 | _USERS)
    fd = _open(place)
    try:
        done = _libc.syscall(_QUOTACTL_FD, fd, number, ctypes.c_uint(uid), buffer)
        if done and ctypes.get_errno() == errno.ENOSYS and _is_device_of(device, fd):
            done = _libc.quotactl(number, os.fsencode(device), ctypes.c_int(uid), buffer)
    finally:
        os.close(fd)
    if done:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return buffer.raw


def _has_quotas() -> bool:
    """True if the kernel has a call for quotas, with no filter before it: what it says of no file system tells."""
    number = ctypes.c_int(_GET << 8 | _USERS)
    by_descriptor = partial(_libc.syscall, _QUOTACTL_FD, -1, number, 0, None)
    by_name = partial(_libc.quotactl, number, None, 0, None)
    return any(call() == 0 or ctypes.get_errno() != errno.ENOSYS for call in (by_descriptor, by_name))


def _open(place: str) -> int:
    """Return a descriptor of a directory, following no link: a place of mountinfo has none, and users may put some."""
    fd = os.open(os.sep, _PLACE)
    try:
        for part in filter(None, place.split(os.sep)):
            below = os.open(part, _PLACE, dir_fd=fd)
            os.close(fd)
            fd = below
    except OSError:
        os.close(fd)
        raise
    return fd


def _is_device_of(device: str, fd: int) -> bool:
    """True if the name that a mount has of its device is that of the file system: it may be another's by now."""
    try:
        return os.stat(device).st_rdev == os.fstat(fd).st_dev
    except OSError:
        return False


def answer(question: dict[str, Any]) -> object:
    """Return what :func:`limit` or :func:`look` does, in a form that JSON holds."""
    place, device, uid = str(question["place"]), str(question["device"]), int(question["uid"])
    if "disk" in question:
        return limit(place, device, uid, question["disk"], question["files"])
    return asdict(look(place, device, uid))


if __name__ == "__main__":
    print(json.dumps([answer(each) for each in json.loads(sys.argv[1])]))
