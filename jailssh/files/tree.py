"""Filling a new directory with files, links and directories, by descriptor; and making it visible in one step."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from jailssh.core.names import JailPath
from jailssh.files import blobs, fs

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class SharedFile:
    """A file of a finished tree, as it must still be to be shared: where, and mode, size, mtime in nanoseconds.

    ``digest``: of its content, which is read before it is shared; "" for a file that this process has just written.
    """

    root: int
    path: JailPath
    mode: int
    size: int
    mtime_ns: int
    digest: str = ""


Checked = dict[tuple[int, int], int]
"""The change time, after it was shared, of each file whose content was read, by device and inode.

The count of its names changes with every tree that shares it, and so does that time: only this process, which knows
what it did last, can tell whether somebody else has touched the file since.
"""


class TreeWriter:
    """Writes below the open, empty directory ``root``; everything belongs to root.

    Paths are absolute within the tree and come in tree order: a directory, then all that it holds.  Nothing is ever
    replaced or followed: a name that exists already is an error.  All methods raise OSError.
    """

    def __init__(self, root: int, checked: Checked | None = None) -> None:
        self._stack: list[tuple[str, int]] = [("", os.dup(root))]
        self._checked: Checked = {} if checked is None else checked
        self.damaged: list[str] = []
        """Paths whose file was to be shared and has another content than its name says."""

    def close(self) -> None:
        """Close the directories that are still open."""
        while self._stack:
            os.close(self._stack.pop()[1])

    def _parent(self, path: JailPath) -> tuple[int, str]:
        head, name = os.path.split(path)
        head = head.rstrip("/")
        while self._stack[-1][0] != head:
            os.close(self._stack.pop()[1])
        return self._stack[-1][1], name

    def directory(self, path: JailPath, mode: int) -> None:
        """Make a directory."""
        parent, name = self._parent(path)
        os.mkdir(name, 0o700, dir_fd=parent)
        fd = fs.open_dir_at(parent, name)
        self._stack.append((path, fd))
        os.fchown(fd, 0, 0)
        os.fchmod(fd, mode)

    def link(self, path: JailPath, target: str) -> None:
        """Make a symbolic link."""
        parent, name = self._parent(path)
        os.symlink(target, name, dir_fd=parent)

    def text(self, path: JailPath, data: bytes, mode: int) -> None:
        """Make a file with ``data``; its time is the epoch, so that equal trees are equal."""
        parent, name = self._parent(path)
        fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
        try:
            fs.write_all(fd, data)
            self._finish(fd, mode, 0)
        finally:
            os.close(fd)

    def copy(self, path: JailPath, source: int, mode: int, mtime_ns: int) -> None:
        """Make a file with the content of the descriptor ``source``, read from its position on."""
        parent, name = self._parent(path)
        fd = os.open(name, _CREATE, 0o600, dir_fd=parent)
        try:
            fs.copy_data(source, fd)
            self._finish(fd, mode, mtime_ns)
        finally:
            os.close(fd)

    def _finish(self, fd: int, mode: int, mtime_ns: int) -> None:
        os.fchown(fd, 0, 0)
        os.fchmod(fd, mode)
        os.utime(fd, ns=(mtime_ns, mtime_ns))

    def share(self, path: JailPath, file: SharedFile) -> bool:
        """Make a hard link to a file of another tree on the same file system; False if it is not as it should be."""

        def same(above: int, name: str) -> bool:
            info = os.stat(name, dir_fd=above, follow_symlinks=False)
            seen = (info.st_uid, info.st_gid, info.st_mode, info.st_size, info.st_mtime_ns)
            if seen != (0, 0, stat.S_IFREG | file.mode, file.size, file.mtime_ns):
                return False
            return not file.digest or self._is_right(path, above, name, info, file.digest)

        shared = self._share(path, file, same)
        if shared and file.digest:
            parent, name = self._parent(path)
            after = os.stat(name, dir_fd=parent, follow_symlinks=False)
            self._checked[after.st_dev, after.st_ino] = after.st_ctime_ns
        return shared

    def _is_right(self, path: JailPath, above: int, name: str, info: os.stat_result, digest: str) -> bool:
        """True if the file has the content of ``digest``: size and times can be put back after a change."""
        if self._checked.get((info.st_dev, info.st_ino)) == info.st_ctime_ns:
            return True
        if blobs.digest_of(above, name) == digest and not blobs.attributes_at(above, name):
            return True
        self.damaged.append(path)
        return False

    def share_link(self, path: JailPath, file: SharedFile, target: str) -> bool:
        """Do the same for a symbolic link with the text ``target``: a new one costs an inode."""
        return self._share(path, file, lambda above, name: os.readlink(name, dir_fd=above) == target)

    def _share(self, path: JailPath, file: SharedFile, same: Callable[[int, str], bool]) -> bool:
        parent, name = self._parent(path)
        head, old = os.path.split(file.path)
        try:
            above = file.root if head in ("", "/") else fs.open_dir_at(file.root, head)
        except OSError:
            return False
        try:
            if not same(above, old):
                return False
            os.link(old, name, src_dir_fd=above, dst_dir_fd=parent, follow_symlinks=False)
        except OSError:  # Gone, too many links, another file system: a copy serves as well.
            return False
        finally:
            if above != file.root:
                os.close(above)
        return True


def make_staging(dirfd: int, name: str) -> int:
    """Make the directory ``name``, closed to all but root, in the open directory; return its descriptor; OSError."""
    os.mkdir(name, 0o700, dir_fd=dirfd)
    return fs.open_dir_at(dirfd, name)


def publish(dirfd: int, staging: str, name: str, above: int | None = None) -> None:
    """Open the finished directory ``staging`` to all (0755) and give it its name in one step; OSError.

    ``above``: the open directory, if it is another one of the same file system, that gets it.
    """
    fd = fs.open_dir_at(dirfd, staging)
    try:
        if os.geteuid() == 0:
            os.fchown(fd, 0, 0)
        os.fchmod(fd, 0o755)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(staging, name, src_dir_fd=dirfd, dst_dir_fd=dirfd if above is None else above)
    os.fsync(dirfd if above is None else above)


def retire(dirfd: int, name: str, hidden: str) -> None:
    """Take the tree ``name`` out of sight in one step, then remove it; ``hidden`` is the name meanwhile; OSError."""
    os.rename(name, hidden, src_dir_fd=dirfd, dst_dir_fd=dirfd)
    os.fsync(dirfd)
    fs.remove_tree(dirfd, hidden)
