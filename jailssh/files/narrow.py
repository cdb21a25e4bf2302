"""Remove something, also where nothing new can be written and where a lock is never released.

A file system without room lets no file be replaced: a file is then changed in place, so that every reader finds a
whole file at each moment, and where that fails too the file goes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from jailssh.core.errors import HostError
from jailssh.core.names import escape
from jailssh.files import fs

Judge = Callable[[bytes], bytes | None]
"""What becomes of a line: the same, one that is no longer, or none."""

_POLL = 0.02


def lines(path: str, judge: Judge, limit: int, *, trusted_root: str | None = None) -> str:
    """Make each line of a trusted file what ``judge`` says; return what is to be said of how, "" for as usual.

    Only a newline ends a line.  A line that cannot be taken out is written over with ``#``.  Raises
    :class:`HostError` for a file that is not to be trusted, and where nothing could be done.
    """
    data = fs.read_trusted(path, limit, trusted_root=trusted_root)
    rows = data.split(b"\n")
    new = [judge(row) for row in rows]
    if new == rows:
        return ""
    info = os.lstat(path)
    try:
        left = b"\n".join(row for row in new if row is not None)
        fs.atomic_write(path, left, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid)
        return ""
    except (HostError, OSError) as error:
        why = error.why if isinstance(error, HostError) else os.strerror(error.errno or errno.EIO).lower()
    try:
        _in_place(path, data, new)
        return f"{path} was changed in place, because it cannot be replaced: {why}"
    except OSError:
        return remove(path, why)


def remove(path: str, why: str) -> str:
    """Remove a file, at least its content; return what is to be said, with ``why``.  :class:`HostError` if neither."""
    try:
        fs.remove_file(path)
        return f"{path} was removed: {why}"
    except HostError as error:
        with suppress(OSError):
            fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                if stat.S_ISREG(os.fstat(fd).st_mode):
                    os.ftruncate(fd, 0)
                    return f"{path} was emptied: {why}"
            finally:
                os.close(fd)
        raise error


def _in_place(path: str, data: bytes, new: list[bytes | None]) -> None:
    """Change rows where they stand.  Each is a comment first, from its first byte on, and its first byte comes last."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if os.pread(fd, len(data) + 1, 0) != data:
            raise HostError(path, "was changed by another process at the same time", hint="repeat the command")
        at = 0
        for row, wanted in zip(data.split(b"\n"), new, strict=True):
            if wanted != row and row:
                _pwrite(fd, b"#" * len(row), at)
                if wanted and len(wanted) <= len(row):
                    _pwrite(fd, wanted.ljust(len(row))[1:], at + 1)
                    _pwrite(fd, wanted[:1], at)
            at += len(row) + 1
        os.fsync(fd)
    finally:
        os.close(fd)


def _pwrite(fd: int, data: bytes, at: int) -> None:
    while data:
        count = os.pwrite(fd, data, at)
        data, at = data[count:], at + count


@contextmanager
def lock(path: str, patience: float, *, trusted_root: str | None = None) -> Iterator[str]:
    """Hold the lock of :func:`jailssh.files.fs.lock`; yields "" with it, or why it is not held after ``patience`` s."""
    fd, why = _locked(path, patience, trusted_root)
    try:
        yield why
    finally:
        if fd is not None:
            os.close(fd)


def _locked(path: str, patience: float, trusted_root: str | None) -> tuple[int | None, str]:
    head, name = os.path.split(path)
    try:
        dirfd = fs.open_dir(head, strict=False, trusted_root=trusted_root)
    except HostError as error:
        return None, str(error)
    fd = -1
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(name, flags, 0o600, dir_fd=dirfd)
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or fs.distrust(info):
            os.close(fd)
            return None, f"{escape(path)} does not belong to root alone"
        if why := _wait(fd, path, patience):
            os.close(fd)
            return None, why
        with suppress(OSError):  # without room nobody reads who has it
            os.pwrite(fd, b"%-20d" % os.getpid(), 0)
        return fd, ""
    except OSError as error:
        return None, f"cannot lock {escape(path)}: {os.strerror(error.errno or errno.EIO).lower()}"
    finally:
        os.close(dirfd)


def _wait(fd: int, path: str, patience: float) -> str:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return ""
        except BlockingIOError:
            if time.monotonic() >= end:
                holder = os.pread(fd, 20, 0).strip()
                who = f"process {int(holder)}" if holder.isdigit() else "another process"
                return f"{who} holds {escape(path)}"
        time.sleep(_POLL)
