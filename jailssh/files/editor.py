"""Changing a tree that is in use and that others may have changed: new beside old, then a rename, following nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress

from jailssh.core.names import JailPath
from jailssh.files import beneath, fs
from jailssh.files.duplicate import copy_sparse

NEW = ".jailssh-new-"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FICLONE = 0x40049409
_NO_CLONE = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS, errno.EPERM)
_MAX_OPEN = 64


class TreeEditor:
    """Edits below the open directory ``root``.  Paths are absolute within the tree; all methods raise OSError.

    ``owned``  False for a process that is not root: everything is its own then, whatever owner is asked for.
    ``fresh``  the tree is new and nobody else sees it: names are made in place, one that exists is an error.
    ``reflink``  files share their blocks with the source where the file system can.
    """

    def __init__(self, root: int, *, owned: bool, fresh: bool = False, reflink: bool = False) -> None:
        self._root = root
        self._owned = owned
        self._fresh = fresh
        self._reflink = reflink
        self._dirs: dict[str, int] = {}

    @property
    def fresh(self) -> bool:
        """True if the tree is new and nobody else sees it."""
        return self._fresh

    def close(self) -> None:
        """Close the directories that are still open."""
        while self._dirs:
            os.close(self._dirs.popitem()[1])

    def _parent(self, path: JailPath) -> tuple[int, str]:
        head, name = os.path.split(path)
        fd = self._dirs.get(head)
        if fd is None:
            if len(self._dirs) >= _MAX_OPEN:
                self.close()
            fd = self._dirs[head] = beneath.open_beneath(self._root, head)
        return fd, name

    def look(self, path: JailPath) -> os.stat_result | None:
        """Return the status of ``path``, not followed; None if it, or a directory on the way, is not there."""
        try:
            parent, name = self._parent(path)
            return os.stat(name, dir_fd=parent, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_link(self, path: JailPath) -> str:
        """Return the text of a symbolic link."""
        parent, name = self._parent(path)
        return os.readlink(name, dir_fd=parent)

    def open_file(self, path: JailPath) -> int:
        """Return a descriptor, for reading, of a regular file."""
        parent, name = self._parent(path)
        fd = os.open(name, fs.READ, dir_fd=parent)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
        return fd

    def names(self, path: JailPath) -> list[str]:
        """Return what the directory ``path`` holds; nothing if there is none."""
        try:
            fd = beneath.open_beneath(self._root, path)
        except (FileNotFoundError, NotADirectoryError):
            return []
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def directory(self, path: JailPath, mode: int, uid: int, gid: int) -> None:
        """Make a directory, or give the one that is there mode and owner; anything else in its place is replaced."""
        parent, name = self._parent(path)
        if not self._fresh:
            with suppress(FileNotFoundError, NotADirectoryError):
                if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=parent)
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            if self._fresh:
                raise
        fd = beneath.open_beneath(parent, name)
        try:
            self._finish(fd, mode, uid, gid)
        finally:
            os.close(fd)

    def file(
        self, path: JailPath, source: int, info: os.stat_result, mode: int, uid: int, gid: int, mtime_ns: int
    ) -> None:
        """Put a file with the content of the descriptor ``source``, whose status is ``info``; holes stay holes."""

        def fill(fd: int) -> None:
            self._copy(source, info, fd)
            self._finish(fd, mode, uid, gid)
            os.utime(fd, ns=(mtime_ns, mtime_ns))

        self._write(path, fill, mode)

    def text(self, path: JailPath, data: bytes, mode: int, uid: int, gid: int) -> None:
        """Put a file with ``data``; its time is the epoch, so that equal trees are equal."""

        def fill(fd: int) -> None:
            fs.write_all(fd, data)
            self._finish(fd, mode, uid, gid)
            os.utime(fd, ns=(0, 0))

        self._write(path, fill, mode)

    def link(self, path: JailPath, target: str) -> None:
        """Put a symbolic link."""
        self._put(path, lambda name, parent: os.symlink(target, name, dir_fd=parent))

    def hard(self, path: JailPath, existing: JailPath) -> None:
        """Put a second name for the regular file ``existing`` of the same tree."""
        # Opened anew: the cache of directories may close one while the other is looked up.
        head, old = os.path.split(existing)
        above = beneath.open_beneath(self._root, head)
        try:
            if not stat.S_ISREG(os.stat(old, dir_fd=above, follow_symlinks=False).st_mode):
                raise OSError(errno.EINVAL, "is not a regular file", existing)
            self._put(path, lambda name, parent: os.link(old, name, src_dir_fd=above, dst_dir_fd=parent))
        finally:
            os.close(above)

    def share(self, path: JailPath, above: int, name: str) -> None:
        """Put one more name for the file ``name`` in the open directory ``above``, of the same file system."""
        self._put(path, lambda new, parent: os.link(name, new, src_dir_fd=above, dst_dir_fd=parent))

    def clear(self, path: JailPath) -> None:
        """Remove what is at ``path``, with all below it; a mount point is an error, and nothing below it is touched."""
        parent, name = self._parent(path)
        # Descriptors of what goes would be found again by path.
        for known in [one for one in self._dirs if one == path or one.startswith(f"{path}/")]:
            os.close(self._dirs.pop(known))
        fs.remove_tree(parent, name)

    def parent(self, path: JailPath) -> int:
        """Return a descriptor of the directory above ``path``, good until the next call."""
        return self._parent(path)[0]

    def node(self, path: JailPath, type: int, major: int, minor: int, mode: int, uid: int, gid: int) -> None:
        """Put a device, a named pipe or a socket; ``type`` as S_IFCHR and the like (inode(7))."""

        def make(name: str, parent: int) -> None:
            os.mknod(name, type | 0o600, os.makedev(major, minor), dir_fd=parent)
            if self._owned:
                os.chown(name, uid, gid, dir_fd=parent, follow_symlinks=False)
            os.chmod(name, mode, dir_fd=parent)

        self._put(path, make)

    def remove(self, path: JailPath) -> bool:
        """Remove a file, link or node, or a directory that is empty; False if it was gone or holds something."""
        try:
            parent, name = self._parent(path)
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
        if fd := self._dirs.pop(path, None):
            os.close(fd)
        return True

    def sweep(self, path: JailPath) -> None:
        """Remove what a killed run has left unfinished in the directory ``path``."""
        for name in self.names(path):
            if name.startswith(NEW):
                self.remove(JailPath(f"{path.rstrip('/')}/{name}"))

    def _write(self, path: JailPath, fill: Callable[[int], None], mode: int) -> None:
        # Where nobody looks it may have its mode from the beginning on, which need not be given a second time then.
        first = mode & 0o777 if self._fresh else 0o600

        def make(name: str, parent: int) -> None:
            fd = os.open(name, _CREATE, first, dir_fd=parent)
            try:
                fill(fd)
            except BaseException:
                os.unlink(name, dir_fd=parent)
                raise
            finally:
                os.close(fd)

        self._put(path, make)

    def _put(self, path: JailPath, make: Callable[[str, int], None]) -> None:
        """Make something under its name, or, where others may look, beside it and then in its place in one step."""
        parent, name = self._parent(path)
        if self._fresh:
            make(name, parent)
            return
        new = f"{NEW}{secrets.token_hex(8)}"
        make(new, parent)
        try:
            with suppress(FileNotFoundError, NotADirectoryError):
                os.rmdir(name, dir_fd=parent)
            # A hard link that is there already is left alone by rename(2), then the new name stays.
            os.rename(new, name, src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=parent)

    def _finish(self, fd: int, mode: int, uid: int, gid: int) -> None:
        # To ask costs a tenth of what the file system needs to write down what is there already.
        now = os.fstat(fd)
        if self._owned and (now.st_uid, now.st_gid) != (uid, gid):
            os.fchown(fd, uid, gid)
            now = os.fstat(fd)
        if stat.S_IMODE(now.st_mode) != mode:
            os.fchmod(fd, mode)

    def _copy(self, source: int, info: os.stat_result, target: int) -> None:
        if self._reflink:
            try:
                fcntl.ioctl(target, _FICLONE, source)
                return
            except OSError as error:
                if error.errno not in _NO_CLONE:
                    raise
        if info.st_blocks * 512 < info.st_size:
            copy_sparse(source, target, info.st_size)
        else:
            fs.copy_data(source, target, info.st_size)
