"""Layers of an image, laid one after the other on a tree: by descriptor, and nothing in the tree is followed.

A layer is a tar in which a name may also say that what lower layers have there is gone (OCI image specification,
"Image Layer Filesystem Changeset").  Who made it is nobody to trust: its sizes are bounded, and a name that leads
through a link of a lower layer is an error.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tarfile
from contextlib import suppress
from typing import IO

from jailssh.core.names import escape
from jailssh.files import fs, untar
from jailssh.files.beneath import open_beneath

_GONE = ".wh."
_ALL_GONE = ".wh..wh..opq"
_OF_AUFS = ".wh..wh."
"""What the file system that had these names first keeps for itself."""
_HEADERS = 4 << 20
_BEHIND = 64 << 20
_DEEPEST = 200
_MOST_ENTRIES = 4_000_000
_MOST_NAMES = 1 << 29
"""Characters of all paths, and of what is above each: so many are kept in memory."""
_CHUNK = 1 << 20
_MOST_ID = (1 << 32) - 2
_XATTR = "SCHILY.xattr."
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _Source:
    """What a tar is read from: all of it is hashed, and no more is read at a time than was allowed."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()
        self.allowed = _HEADERS

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.allowed -= len(data)
        if self.allowed < 0:
            raise tarfile.ReadError("tar holds more than it says")
        self.digest.update(data)
        return data


class Layers:
    """A tree, empty and root's alone, that layers are laid on.  ``most``: bytes that files may have together."""

    def __init__(self, tree: int, most: int) -> None:
        self._tree = tree
        self._bytes = most
        self._entries = _MOST_ENTRIES
        self._names = _MOST_NAMES
        self._times: dict[str, int] = {}
        self._own: set[str] = set()
        """Paths of the layer that is being laid: of those nothing is gone by it."""

    def lay(self, stream: IO[bytes], name: str) -> str:
        """Lay a layer on the tree and return the SHA-256 of its tar; :class:`HostError`.  ``name``: for messages."""
        source = _Source(stream)
        self._own = {""}
        with untar.told(name), tarfile.open(fileobj=source, mode="r|") as tar:  # type: ignore[call-overload]
            while True:
                source.allowed = _HEADERS
                member = tar.next()
                if member is None:
                    break
                tar.members.clear()  # which would keep all of them
                self._count(member)
                source.allowed = member.size + _HEADERS
                self._put(tar, member)
            source.allowed = _BEHIND
            while source.read(_CHUNK):
                pass
        return source.digest.hexdigest()

    def add(self, name: str, mode: int) -> None:
        """Make a directory of root's in the tree's root, where nothing has that name; OSError."""
        with suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=self._tree)
            os.chmod(name, mode, dir_fd=self._tree)

    def finish(self) -> None:
        """Give the directories their times, once nothing is put into them any more; OSError."""
        for path, time in self._times.items():
            with suppress(FileNotFoundError, NotADirectoryError):
                fd = open_beneath(self._tree, path)
                os.utime(fd, ns=(time, time))
                os.close(fd)

    def _count(self, member: tarfile.TarInfo) -> None:
        self._entries -= 1
        self._bytes -= member.size if member.isreg() else 0
        if self._entries < 0 or self._bytes < 0 or member.size < 0:
            raise OSError(errno.EFBIG, "layers need more than is free")

    def _put(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = _path(member.name)
        above, _, name = path.rpartition("/")
        if any(part.startswith(_GONE) for part in above.split("/")) or name.startswith(_OF_AUFS):
            if name == _ALL_GONE:
                self._clear(above)
            return
        if name.startswith(_GONE):
            self._remove(above, name.removeprefix(_GONE))
            return
        if not path:
            if not member.isdir():
                raise tarfile.ReadError("its root is not a directory")
            self._finish_directory("", member)
            return
        parent = self._parent(above)
        try:
            if member.isdir():
                _make_directory(parent, name)
            else:
                fs.remove_tree(parent, name)
                self._make(tar, member, parent, name)
        finally:
            os.close(parent)
        self._note(path)
        if member.isdir():
            self._finish_directory(path, member)

    def _note(self, path: str) -> None:
        while path not in self._own:
            self._names -= len(path)
            if self._names < 0:
                raise OSError(errno.EFBIG, "layers have too many long names")
            self._own.add(path)
            path = path.rpartition("/")[0]

    def _parent(self, path: str) -> int:
        """Open a directory of the tree; those that are missing are made."""
        try:
            return self._open(path)
        except FileNotFoundError:
            above, _, name = path.rpartition("/")
            fd = self._parent(above)
            try:
                _make_directory(fd, name)
                return fs.open_dir_at(fd, name)
            finally:
                os.close(fd)

    def _open(self, path: str) -> int:
        try:
            return open_beneath(self._tree, path)
        except NotADirectoryError as error:
            why = f"{escape(path)}: is a link or a file, and something in it is named"
            raise OSError(errno.ENOTDIR, why) from error

    def _make(self, tar: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
        if member.isreg():
            _write(tar, member, parent, name)
            return
        if member.islnk():
            self._link(_path(member.linkname), parent, name)
            return
        if member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.ischr() or member.isblk():
            kind = stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            os.mknod(name, kind | 0o600, os.makedev(member.devmajor, member.devminor), dir_fd=parent)
        elif member.isfifo():
            os.mkfifo(name, 0o600, dir_fd=parent)
        else:
            raise tarfile.ReadError(f"{escape(member.name)}: is of an unknown kind")
        os.chown(name, *_owner(member), dir_fd=parent, follow_symlinks=False)
        if not member.issym():
            os.chmod(name, member.mode & 0o7777, dir_fd=parent)
        _set_times(name, member, parent)

    def _link(self, target: str, parent: int, name: str) -> None:
        above, _, last = target.rpartition("/")
        fd = self._open(above)
        try:
            os.link(last, name, src_dir_fd=fd, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(fd)

    def _finish_directory(self, path: str, member: tarfile.TarInfo) -> None:
        fd = self._open(path)
        try:
            _set_attributes(fd, member)
        finally:
            os.close(fd)
        self._times[path] = _time(member)

    def _remove(self, above: str, name: str) -> None:
        """Take away what lower layers have of a name; nothing where there is none."""
        if name in ("", ".", ".."):
            raise tarfile.ReadError("a name of nothing is said to be gone")
        path = f"{above}/{name}".lstrip("/")
        if path in self._own:
            with suppress(FileNotFoundError, NotADirectoryError):
                self._clear(path)
            return
        with suppress(FileNotFoundError, NotADirectoryError):
            fd = open_beneath(self._tree, above)
            try:
                fs.remove_tree(fd, name)
            finally:
                os.close(fd)

    def _clear(self, path: str) -> None:
        """Take away what lower layers have in a directory."""
        try:
            fd = open_beneath(self._tree, path)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            for name in os.listdir(fd):
                below = f"{path}/{name}".lstrip("/")
                if below not in self._own:
                    fs.remove_tree(fd, name)
                elif stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    self._clear(below)
        finally:
            os.close(fd)


def _path(name: str) -> str:
    """Return a name of a tar as a path below the tree's root, "" for that itself."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or len(parts) > _DEEPEST:
        raise tarfile.ReadError(f"{escape(name)[:200]}: leads out of the tree, or too deep into it")
    return "/".join(parts)


def _make_directory(parent: int, name: str) -> None:
    with suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            return
        os.unlink(name, dir_fd=parent)
    os.mkdir(name, 0o755, dir_fd=parent)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
    source = tar.extractfile(member)
    assert source is not None  # of a regular file
    fd = os.open(name, _NEW, 0o600, dir_fd=parent)
    try:
        while data := source.read(_CHUNK):
            fs.write_all(fd, data)
        if os.fstat(fd).st_size != member.size:
            raise tarfile.ReadError("unexpected end of data")
        _set_attributes(fd, member)
    finally:
        os.close(fd)


def _set_attributes(fd: int, member: tarfile.TarInfo) -> None:
    os.fchown(fd, *_owner(member))
    os.fchmod(fd, member.mode & 0o7777)
    for key, value in member.pax_headers.items():
        name = key.removeprefix(_XATTR)
        # Those of a security module, and of what another file system keeps there, are the host's.
        if name == key or (name.startswith(("security.", "trusted.")) and name != "security.capability"):
            continue
        try:
            os.setxattr(fd, name, value.encode("utf-8", "surrogateescape"))
        except OSError as error:
            if error.errno != errno.ENOTSUP or name == "security.capability":
                raise
    _set_times(fd, member)


def _owner(member: tarfile.TarInfo) -> tuple[int, int]:
    if not (0 <= member.uid <= _MOST_ID and 0 <= member.gid <= _MOST_ID):
        raise tarfile.ReadError(f"{escape(member.name)}: belongs to no account that can be")
    return member.uid, member.gid


def _time(member: tarfile.TarInfo) -> int:
    return int(member.mtime * 1_000_000_000)


def _set_times(place: int | str, member: tarfile.TarInfo, parent: int | None = None) -> None:
    time = _time(member)
    if parent is None:
        os.utime(place, ns=(time, time))
    else:
        os.utime(place, ns=(time, time), dir_fd=parent, follow_symlinks=False)
