"""A store of file contents: one name for each content, mode and time, sharing the blocks of all trees that have it.

Symbolic links are shared as well, by their text.  A name says what its object must be, so damage is found without
any other record: even where size and times were put back, the digest differs.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from jailssh.files import fs

# Another name is there, the file has all the names it can have, or another tool's mount lies between.
_HARMLESS = (errno.EEXIST, errno.EMLINK, errno.EXDEV)
_NAME = re.compile(r"([0-9a-f]{64})-([0-7]{1,4})-(-?[0-9]{1,20})-([0-9]{1,20})\Z")
_LINK_NAME = re.compile(r"link-[0-9a-f]{64}\Z")
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
# What gives rights beyond the mode, and what only people and programs put there.  Labels of security modules stay.
_ATTRIBUTES = ("security.capability", "system.posix_acl_", "user.", "trusted.")


@dataclass(frozen=True)
class Expected:
    """What the name of a file in the store says that it is."""

    digest: str
    mode: int
    mtime_ns: int
    size: int


def name_of(digest: str, mode: int, mtime_ns: int, size: int) -> str:
    """Return the name of a file in the store."""
    return f"{digest}-{mode:o}-{mtime_ns}-{size}"


def name_of_link(target: str) -> str:
    """Return the name of a symbolic link in the store."""
    return f"link-{hashlib.sha256(os.fsencode(target)).hexdigest()}"


def expected_of(name: str) -> Expected | None:
    """Return what a name says of its file; None for a link's, and for one that is none of the store's."""
    match = _NAME.match(name)
    return Expected(match[1], int(match[2], 8), int(match[3]), int(match[4])) if match else None


def is_link_name(name: str) -> bool:
    """True for the name of a symbolic link in the store."""
    return _LINK_NAME.match(name) is not None


def keep(root: int, store: int, files: Iterable[tuple[str, str]]) -> None:
    """Give files of the tree ``root``, which nobody else can reach yet, a name in ``store``: (path, name); OSError.

    What has the name already is shared by the tree, or else the tree's own file takes its place: the one that is
    there was not as it should be, or has all the names that it can have.
    """
    for path, name in files:
        try:
            os.link(path.lstrip("/"), name, src_dir_fd=root, dst_dir_fd=store, follow_symlinks=False)
        except FileExistsError:
            mine = os.stat(path.lstrip("/"), dir_fd=root, follow_symlinks=False)
            with suppress(FileNotFoundError):
                if os.stat(name, dir_fd=store, follow_symlinks=False).st_ino == mine.st_ino:
                    continue
            replace(root, path.lstrip("/"), store, name)
        except OSError as error:
            if error.errno not in _HARMLESS:
                raise


def replace(above: int, old: str, store: int, name: str) -> None:
    """Make ``name`` in ``store`` one more name of the file ``old`` in ``above``, whatever has it now; OSError.

    Where the file can have no further name, all stays as it is.
    """
    new = f".new-{secrets.token_hex(8)}"
    try:
        os.link(old, new, src_dir_fd=above, dst_dir_fd=store, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _HARMLESS:
            raise
        return
    try:
        os.rename(new, name, src_dir_fd=store, dst_dir_fd=store)
    finally:
        # rename(2) leaves both names where they are of one file already.
        with suppress(FileNotFoundError):
            os.unlink(new, dir_fd=store)


def sweep(store: int) -> int:
    """Remove what no tree has any more and return the bytes that this frees; OSError."""
    freed = 0
    for name in os.listdir(store):
        info = os.stat(name, dir_fd=store, follow_symlinks=False)
        if info.st_nlink == 1 and (stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode)):
            os.unlink(name, dir_fd=store)
            freed += info.st_blocks * 512
    return freed


def digest_of(dirfd: int, name: str, *, from_disk: bool = False) -> str:
    """Return the SHA-256 of the regular file ``name`` in the open directory; OSError.

    ``from_disk``: what the kernel has in memory of it is let go first, so that what is read is what is stored.
    """
    with open(os.open(name, fs.READ, dir_fd=dirfd), "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is not a regular file", name)
        if from_disk:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return hashlib.file_digest(file, "sha256").hexdigest()


def strange_attributes(fd: int) -> list[str]:
    """Return the extended attributes of an open file that give rights or were put there by somebody."""
    try:
        names = os.listxattr(fd)
    except OSError:  # A file system without them.
        return []
    return sorted(name for name in names if name.startswith(_ATTRIBUTES))


def attributes_at(dirfd: int, name: str) -> list[str]:
    """Do the same for a regular file or directory in an open directory; OSError."""
    fd = os.open(name, fs.READ, dir_fd=dirfd)
    try:
        return strange_attributes(fd)
    finally:
        os.close(fd)


def copy_in(room: int, name: str, source: int, expected: Expected) -> bool:
    """Make ``name`` in the open directory ``room`` the file that is ``expected``, from the descriptor ``source``.

    False, and nothing is left, if the source has other content: it may come from anywhere.  OSError.
    """
    fd = os.open(name, _CREATE, 0o600, dir_fd=room)
    try:
        digest, at = hashlib.sha256(), 0
        while at <= expected.size and (data := os.pread(source, _CHUNK, at)):
            digest.update(data)
            fs.write_all(fd, data)
            at += len(data)
        right = at == expected.size and digest.hexdigest() == expected.digest
        if right:
            _clear(fd)
            os.fchown(fd, 0, 0)
            os.fchmod(fd, expected.mode)
            os.utime(fd, ns=(expected.mtime_ns, expected.mtime_ns))
            os.fsync(fd)
    except BaseException:
        os.unlink(name, dir_fd=room)
        raise
    finally:
        os.close(fd)
    if not right:
        os.unlink(name, dir_fd=room)
    return right


def take_in(room: int, name: str, source: IO[bytes], mtime_ns: int = 0) -> tuple[str, os.stat_result]:
    """Make ``name`` in the open directory ``room`` a file of root's alone with all of ``source``; OSError.

    Returns the digest of its content and its status; nothing of that is believed yet.
    """
    fd = os.open(name, _CREATE, 0o600, dir_fd=room)
    try:
        digest = hashlib.sha256()
        while data := source.read(_CHUNK):
            digest.update(data)
            fs.write_all(fd, data)
        os.utime(fd, ns=(mtime_ns, mtime_ns))
        return digest.hexdigest(), os.fstat(fd)
    finally:
        os.close(fd)


def link_in(room: int, name: str, target: str) -> None:
    """Make ``name`` in the open directory ``room`` a symbolic link; OSError."""
    os.symlink(target, name, dir_fd=room)


def set_directory(fd: int, mode: int) -> None:
    """Give an open directory of a tree to root, with this mode and nothing beside it; OSError."""
    _clear(fd)
    os.fchown(fd, 0, 0)
    os.fchmod(fd, mode)


def _clear(fd: int) -> None:
    for name in strange_attributes(fd):
        os.removexattr(fd, name)
