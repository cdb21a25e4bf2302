"""Digests of what a walk through a tree comes to last, made by another process meanwhile.

Both go through the same tree, the other one from its end.  What it has found out comes through a pipe, by the stamps of
the files, and is known when the walk gets there; where they meet, a file or two are read twice.  It tells nothing else:
what cannot be read, or changes meanwhile, the walk itself finds.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress

from jailssh.closure.elf_cache import Key
from jailssh.core.errors import JailsshError
from jailssh.core.names import HostPath, joined
from jailssh.files import fs, shares

FEW = 200
"""So many files are read before another process would have begun."""
_EVERY = 16  # files, after which what has come is looked at
_RECORD = struct.Struct("=QQqqq32s?")
_PIPE = 1 << 20  # bytes
_AT_ONCE = 1 << 16

Digest = Callable[[HostPath, os.stat_result], tuple[Key, str, bool] | None]
"""Reads a file; returns its stamp, its SHA-256 in hex and whether it is surely no ELF file, None where all is known."""
Told = Callable[[Key, str, bool], None]


class Ahead:
    """Begins when the walk has read some files; :meth:`close` ends it.

    ``left_out`` says of a name and its path below ``top`` whether the walk leaves it out.
    """

    def __init__(self, top: HostPath, left_out: Callable[[str, str], bool], digest: Digest, told: Told) -> None:
        self._top, self._left_out, self._digest, self._told = top, left_out, digest, told
        self._count = 0
        self._rest = b""
        self._source = -1
        self._other: shares.Another | None = None

    def looked(self) -> bool:
        """Count one more file of the walk; True if digests of others have come since."""
        self._count += 1
        if self._count == FEW and shares.others():
            self._begin()
        return self._source >= 0 and self._count % _EVERY == 0 and self._take()

    def _begin(self) -> None:
        with suppress(OSError):  # There may be no more processes or descriptors.
            self._source, target = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                with suppress(OSError):  # The user may have no more of it; the usual size does, too.
                    fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, _PIPE)
                os.set_blocking(target, True)
                self._other = shares.Another(lambda: self._work(target), "read files of it")
            finally:
                os.close(target)
        if self._other is None:
            self.close()

    def _take(self) -> bool:
        came = False
        with suppress(BlockingIOError):
            while more := os.read(self._source, _AT_ONCE):
                data = self._rest + more
                whole = len(data) - len(data) % _RECORD.size
                self._rest = data[whole:]
                for *stamp, digest, other in _RECORD.iter_unpack(data[:whole]):
                    self._told((stamp[0], stamp[1], stamp[2], stamp[3], stamp[4]), digest.hex(), other)
                    came = True
        return came

    def _work(self, target: int) -> None:
        os.close(self._source)
        waiting = b""
        for path, info in _from_the_end(self._top, self._left_out):
            # A time may be one that 64 bits do not hold, hundreds of years from now.
            with suppress(JailsshError, OSError, struct.error):
                if found := self._digest(path, info):
                    stamp, digest, other = found
                    waiting += _RECORD.pack(*stamp, bytes.fromhex(digest), other)
            if len(waiting) > _AT_ONCE // 16:
                fs.write_all(target, waiting)
                waiting = b""
        fs.write_all(target, waiting)

    def close(self) -> None:
        """End the other process."""
        if self._other:
            self._other.close()
            self._other = None
        if self._source >= 0:
            os.close(self._source)
            self._source = -1


def _from_the_end(top: HostPath, left_out: Callable[[str, str], bool]) -> Iterator[tuple[HostPath, os.stat_result]]:
    """Yield the regular files of a tree in the order in which a walk that takes the last directory first has them last.

    A directory that cannot be read has none.
    """
    todo: list[tuple[HostPath, str, bool]] = [(top, "", False)]
    files: list[list[str]] = []
    while todo:
        folder, below, is_done = todo.pop()
        if is_done:
            for name in files.pop():
                with suppress(OSError):
                    path = joined(folder, name)
                    info = os.lstat(path)
                    if stat.S_ISREG(info.st_mode):
                        yield path, info
            continue
        # Names alone: a directory may hold very many files.
        found: list[str] = []
        inside: list[tuple[HostPath, str, bool]] = []
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                rest = f"{below}/{entry.name}".lstrip("/")
                if left_out(entry.name, rest):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    inside.append((joined(folder, entry.name), rest, False))
                elif entry.is_file(follow_symlinks=False):
                    found.append(entry.name)
        files.append(sorted(found, reverse=True))
        todo += [(folder, below, True), *sorted(inside, reverse=True)]
