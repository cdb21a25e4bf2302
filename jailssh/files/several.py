"""Several files of root's in one directory, which is synced once for all of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress

from jailssh.files import fs


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


def atomic_write_later(path: str, data: bytes, mode: int = 0o644) -> None:
    """Do as :func:`jailssh.files.fs.atomic_write`, but a crash may bring the old file back until :func:`settle`."""
    folder, name = os.path.split(path)
    dirfd = fs.open_dir(folder, strict=False)
    try:
        fs.atomic_write_parts_at(dirfd, name, (data,), mode, settle=False)
    except OSError as error:
        raise fs.failed("write", path, error) from error
    finally:
        os.close(dirfd)


def settle(folder: str) -> None:
    """Have on the disk what was written into a directory later; nothing where it is absent."""
    if os.path.isdir(folder):
        dirfd = fs.open_dir(folder, strict=False)
        try:
            os.fsync(dirfd)
        finally:
            os.close(dirfd)
