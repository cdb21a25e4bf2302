"""A second tree that is the first one: content and holes, owners, modes, times, attributes with ACLs, and hard links.

Both are reached by descriptor, nothing is followed, and no mount is crossed.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from jailssh.files import fs
from jailssh.files.beneath import open_beneath

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_sparse(source: int, target: int, size: int) -> bool:
    """Copy ``size`` bytes from descriptor to descriptor, holes as holes (lseek(2), SEEK_DATA); raises OSError.

    False: the source has become shorter meanwhile.
    """
    os.ftruncate(target, size)
    at = 0
    while at < size:
        try:
            at = os.lseek(source, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # Nothing but a hole is left.
                return True
            raise
        end = os.lseek(source, at, os.SEEK_HOLE)
        os.lseek(target, at, os.SEEK_SET)
        while at < end:
            data = os.pread(source, min(end - at, 1 << 20), at)
            if not data:
                return False
            fs.write_all(target, data)
            at += len(data)
    return True


def copy_tree(source: int, target: int, heed: Callable[[], object]) -> int:
    """Make the open, empty directory ``target``, which nobody else can reach, what the open ``source`` is; OSError.

    ``heed`` is called before each name and may raise.  Returns how many files have other names outside of ``source``,
    which the copies have not.
    """
    copier = _Copier(source, target, heed)
    copier.run()
    return sum(1 for link in copier.links.values() if link.left)


@dataclass
class _Link:
    """A file with several names: its first one in the copy, and how many are still to come."""

    path: str
    left: int


class _Copier:
    def __init__(self, source: int, target: int, heed: Callable[[], object]) -> None:
        self._source, self._target, self._heed = source, target, heed
        self._directories: list[str] = []
        self.links: dict[tuple[int, int], _Link] = {}

    def run(self) -> None:
        # By paths and not by open directories: a tree may be deeper than a process has descriptors.
        todo = [""]
        while todo:
            path = todo.pop()
            self._directories.append(path)
            todo += self._level(path)
        # Last, since what is put into a directory changes its times, and a default ACL what is put into it.
        for path in reversed(self._directories):
            inside, made = self._both(path)
            try:
                _give(inside, made)
            finally:
                os.close(inside)
                os.close(made)

    def _both(self, path: str) -> tuple[int, int]:
        inside = open_beneath(self._source, path)
        try:
            return inside, open_beneath(self._target, path)
        except OSError:
            os.close(inside)
            raise

    def _level(self, path: str) -> list[str]:
        """Copy what is in one directory; return the directories in it, which are there and empty."""
        below = []
        inside, made = self._both(path)
        try:
            for name in os.listdir(inside):
                self._heed()
                info = os.stat(name, dir_fd=inside, follow_symlinks=False)
                here = f"{path}/{name}" if path else name
                if stat.S_ISDIR(info.st_mode):
                    os.mkdir(name, 0o700, dir_fd=made)
                    below.append(here)
                elif not self._linked(here, name, made, info):
                    _copy_entry(inside, made, name, info)
        finally:
            os.close(inside)
            os.close(made)
        return below

    def _linked(self, path: str, name: str, made: int, info: os.stat_result) -> bool:
        """True if the file is there by another name already, and has this one now too."""
        if info.st_nlink < 2:
            return False
        link = self.links.setdefault((info.st_dev, info.st_ino), _Link(path, info.st_nlink))
        link.left -= 1
        if link.path == path:
            return False
        os.link(link.path, name, src_dir_fd=self._target, dst_dir_fd=made, follow_symlinks=False)
        return True


def _copy_entry(inside: int, made: int, name: str, info: os.stat_result) -> None:
    if stat.S_ISREG(info.st_mode):
        _copy_file(inside, made, name)
    elif stat.S_ISLNK(info.st_mode):
        os.symlink(os.readlink(name, dir_fd=inside), name, dir_fd=made)
        os.chown(name, info.st_uid, info.st_gid, dir_fd=made, follow_symlinks=False)
        _attributes(f"/proc/self/fd/{inside}/{name}", f"/proc/self/fd/{made}/{name}")
        os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=made, follow_symlinks=False)
    else:
        os.mknod(name, stat.S_IFMT(info.st_mode) | 0o600, info.st_rdev, dir_fd=made)
        os.chown(name, info.st_uid, info.st_gid, dir_fd=made, follow_symlinks=False)
        _attributes(f"/proc/self/fd/{inside}/{name}", f"/proc/self/fd/{made}/{name}")
        # Not a link, and nobody else can reach it, so that nothing can be followed.
        os.chmod(name, stat.S_IMODE(info.st_mode), dir_fd=made)
        os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=made, follow_symlinks=False)


def _copy_file(inside: int, made: int, name: str) -> None:
    read = os.open(name, fs.READ, dir_fd=inside)
    try:
        info = os.fstat(read)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EBUSY, "was replaced while it was copied", name)
        fd = os.open(name, _CREATE, 0o600, dir_fd=made)
        try:
            if not copy_sparse(read, fd, info.st_size):
                raise OSError(errno.EBUSY, "was cut while it was copied")
            _give(read, fd, info)
        finally:
            os.close(fd)
    finally:
        os.close(read)


def _give(source: int, target: int, info: os.stat_result | None = None) -> None:
    """Give ``target`` what ``source`` has beside its content; in this order, since each clears some of the next."""
    info = info or os.fstat(source)
    os.fchown(target, info.st_uid, info.st_gid)
    _attributes(source, target)
    os.fchmod(target, stat.S_IMODE(info.st_mode))
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))


def _attributes(source: int | str, target: int | str) -> None:
    follow = isinstance(source, int)
    try:
        names = os.listxattr(source, follow_symlinks=follow)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return
        raise
    for name in names:
        value = os.getxattr(source, name, follow_symlinks=follow)
        try:
            os.setxattr(target, name, value, follow_symlinks=follow)
        except OSError as error:
            raise OSError(error.errno, f"{os.strerror(error.errno or 0)} (attribute {name})") from error
