"""A tree as a tar stream: the same tree gives the same bytes, wherever and whenever it was built.

Names are sorted, owners are numbers, times are whole seconds.  Directories and links carry the one time that is
given, since theirs only tell when the tree was built; a file keeps its own, cut to the given one where that is asked
for (SOURCE_DATE_EPOCH).  Long names and names that are not UTF-8 get extended headers (pax(1)), files with several
names in the tree become hard links.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from typing import IO, cast

from jailssh.closure.errors import ImageError
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.host import output

_BUFFER = 1 << 20


def write_tar(tree: int, stream: IO[bytes], epoch: int | None = None, top: str = "") -> None:
    """Write all below the open directory ``tree`` to ``stream``; nothing is followed.

    ``epoch``: seconds since 1970; directories and links get it (0 for None) and no file is newer.  ``top`` is put in
    front of every name.  Raises :class:`ImageError` for a file that changes meanwhile and OSError.
    """
    names: dict[tuple[int, int], str] = {}
    with tarfile.open(
        fileobj=stream,
        mode="w|",
        format=tarfile.PAX_FORMAT,
        encoding="utf-8",
        errors="surrogateescape",
        bufsize=_BUFFER,
    ) as archive:
        for path, info in walk(tree):
            member = _member(f"{top}{path}", info, epoch)
            if stat.S_ISLNK(info.st_mode):
                member.linkname = _target(tree, path)
            elif stat.S_ISREG(info.st_mode):
                # Only of a file that has more names is the first one remembered.
                first = member.name
                if info.st_nlink > 1:
                    first = names.setdefault((info.st_dev, info.st_ino), member.name)
                if first != member.name:
                    member.type, member.linkname, member.size = tarfile.LNKTYPE, first, 0
                else:
                    _add_file(archive, member, tree, path, info)
                    continue
            archive.addfile(member)


def walk(tree: int) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every path below the open directory and its status, a directory before what it holds, sorted by name."""
    todo = [""]
    while todo:
        path = todo.pop()
        if path:
            info = _status(tree, path)
            yield path, info
            if not stat.S_ISDIR(info.st_mode):
                continue
        fd = fs.open_dir_at(tree, path)
        try:
            todo += [f"{path}/{name}" if path else name for name in sorted(os.listdir(fd), reverse=True)]
        finally:
            os.close(fd)


def _status(tree: int, path: str) -> os.stat_result:
    head, name = os.path.split(path)
    above = fs.open_dir_at(tree, head)
    try:
        return os.stat(name, dir_fd=above, follow_symlinks=False)
    finally:
        os.close(above)


def _target(tree: int, path: str) -> str:
    head, name = os.path.split(path)
    above = fs.open_dir_at(tree, head)
    try:
        return os.readlink(name, dir_fd=above)
    finally:
        os.close(above)


def _member(name: str, info: os.stat_result, epoch: int | None) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mode = stat.S_IMODE(info.st_mode)
    member.uid, member.gid = info.st_uid, info.st_gid
    member.mtime = epoch or 0
    kind = stat.S_IFMT(info.st_mode)
    if kind == stat.S_IFREG:
        member.size = info.st_size
        member.mtime = int(info.st_mtime) if epoch is None else min(int(info.st_mtime), epoch)
    elif kind in _TYPES:
        member.type = _TYPES[kind]
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            member.devmajor, member.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
    else:
        raise ImageError(escape(name), "a socket cannot be in a tar archive")
    return member


_TYPES = {
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


def _add_file(archive: tarfile.TarFile, member: tarfile.TarInfo, tree: int, path: str, info: os.stat_result) -> None:
    with open(output.open_at(tree, path), "rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        try:
            archive.addfile(member, cast(IO[bytes], file))
        except (tarfile.TarError, OSError) as error:
            if os.fstat(file.fileno()).st_size < member.size:
                raise ImageError(escape(path), "it became shorter while it was read") from error
            raise
        after = os.fstat(file.fileno())
    seen = {(one.st_dev, one.st_ino, one.st_size, one.st_mtime_ns) for one in (info, before, after)}
    if len(seen) > 1:
        raise ImageError(escape(path), "it changed while it was read")
