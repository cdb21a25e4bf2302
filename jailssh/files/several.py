"""Several files of root's in one directory, to which the way is walked once, and which is synced once."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.files import fs

_UNFINISHED = re.compile(rf"{re.escape(fs.NEW)}[0-9a-f]{{16}}\Z")


def read_all_trusted(
    folder: str, wanted: Callable[[str], bool], limit: int, *, trusted_root: str | None = None
) -> dict[str, bytes]:
    """Return the content of the trusted files in ``folder`` whose names are ``wanted``, by path.

    As :func:`jailssh.files.fs.read_trusted` for each, but the way to them is walked once.
    """
    found = {}
    dirfd = fs.open_dir(folder, trusted_root=trusted_root)
    try:
        for name in sorted(filter(wanted, os.listdir(dirfd))):
            path = f"{folder}/{name}"
            with suppress(FileNotFoundError):  # It has gone since.
                found[path] = fs.read_in(dirfd, name, path, limit)
    finally:
        os.close(dirfd)
    return found


def read_good(
    folder: str, names: Iterable[str], limit: int, *, trusted_root: str | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of those files in ``folder`` that :func:`jailssh.files.fs.read_trusted` would return.

    One after the other; the way to them is walked once.  Nothing comes out of a folder that is absent or not to be
    trusted.
    """
    try:
        dirfd = fs.open_dir(folder, trusted_root=trusted_root)
    except HostError:
        return
    try:
        for name in names:
            with suppress(FileNotFoundError, HostError):
                yield name, fs.read_in(dirfd, name, f"{folder}/{name}", limit)
    finally:
        os.close(dirfd)


def atomic_write_each(folder: str, files: Mapping[str, bytes], mode: int = 0o644) -> None:
    """Do as :func:`jailssh.files.fs.atomic_write` for files in one directory; a crash may leave some of them."""
    if not files:
        return
    dirfd = fs.open_dir(folder, strict=False)
    name = ""
    try:
        for name, data in files.items():
            fs.atomic_write_parts_at(dirfd, name, (data,), mode, settle=False)
        os.fsync(dirfd)
    except OSError as error:
        raise fs.failed("write", f"{folder}/{name}", error) from error
    finally:
        os.close(dirfd)


def remove_each(folder: str, names: Iterable[str]) -> None:
    """Do as :func:`jailssh.files.fs.remove_file` for files in one directory, which is there."""
    names = list(names)
    if not names:
        return
    dirfd = fs.open_dir(folder, strict=False)
    name = ""
    try:
        for name in names:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=dirfd)
        os.fsync(dirfd)
    except OSError as error:
        raise fs.failed("remove", f"{folder}/{name}", error) from error
    finally:
        os.close(dirfd)


def remove_unfinished(folder: str, before: float, *, trusted_root: str | None = None) -> None:
    """Remove what :func:`jailssh.files.fs.atomic_write` has left in a trusted directory, where it was killed.

    ``before``: what has changed since then (inode(7): ctime) may be one that is still being written.  Raises OSError.
    """
    dirfd = fs.open_dir(folder, trusted_root=trusted_root)
    try:
        for name in filter(_UNFINISHED.match, os.listdir(dirfd)):
            with suppress(FileNotFoundError):
                info = os.stat(name, dir_fd=dirfd, follow_symlinks=False)
                if stat.S_ISREG(info.st_mode) and not fs.distrust(info) and info.st_ctime < before:
                    os.unlink(name, dir_fd=dirfd)
    finally:
        os.close(dirfd)


def settle(folder: str) -> None:
    """Have on the disk what was written into a directory without that; nothing where it is absent."""
    if os.path.isdir(folder):
        dirfd = fs.open_dir(folder, strict=False)
        try:
            os.fsync(dirfd)
        finally:
            os.close(dirfd)
