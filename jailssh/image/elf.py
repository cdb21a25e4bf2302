"""What the dynamic loader would read from an ELF file (elf(5), ld.so(8)); nothing is ever executed, as ldd(1) would.

Files come from the host's packages, yet any of them may be damaged or made to mislead: every number is bounded, and
only the few headers that the loader itself looks at are read, by position, whatever the size of the file.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from jailssh.core.names import escape
from jailssh.image.errors import ImageError

MAGIC = b"\x7fELF"
_MAX_SEGMENTS = 256
_MAX_TAGS = 4096
_MAX_TEXT = 4096
_FIRST_READ = 256
_HEADER = 64
_DF_1_NODEFLIB = 0x800
_EXEC, _DYN = 2, 3
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_NULL, _NEEDED, _STRTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH, _FLAGS_1 = 0, 1, 5, 10, 14, 15, 29, 0x6FFFFFFB
_USED_TAGS = frozenset((_NEEDED, _STRTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH, _FLAGS_1))


@dataclass(frozen=True)
class Abi:
    """What two objects must share to be loaded together; ``machine`` is the number of elf(5)'s ``e_machine``."""

    bits: int
    machine: int
    little_endian: bool


@dataclass(frozen=True)
class Elf:
    """The facts for the loader.  ``interp`` is "" and ``needed`` empty in what loads nothing.

    ``loadable`` is False for relocatable objects and core dumps.
    """

    abi: Abi
    loadable: bool
    interp: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    default_dirs: bool = True
    soname: str = ""


@dataclass(frozen=True)
class _Segment:
    kind: int
    offset: int
    address: int
    size: int


def read_elf(file: BinaryIO, name: str) -> Elf:
    """Return the loader's facts about ``file``; ``name`` is for the error.  Raises :class:`ImageError` if damaged."""
    try:
        return _Reader(file.fileno()).read()
    except ImageError as error:
        raise ImageError(escape(name), f"damaged ELF file ({error.why})") from error
    except OSError as error:
        raise ImageError(escape(name), os.strerror(error.errno or 0).lower()) from error


def _damaged(why: str) -> ImageError:
    return ImageError("ELF file", why)


class _Reader:
    """One open file; the layouts are those of the file's class and byte order."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size
        head = os.pread(fd, _HEADER, 0)
        if len(head) < _HEADER - 12 or not head.startswith(MAGIC) or head[4] not in (1, 2) or head[5] not in (1, 2):
            raise _damaged("its header is not complete")
        self._wide = head[4] == 2
        self._order = "<" if head[5] == 1 else ">"
        layout = self._order + ("HHIQQQIHHHHHH" if self._wide else "HHIIIIIHHHHHH")
        if len(head) < 16 + struct.calcsize(layout):
            raise _damaged("its header is not complete")
        self._header = struct.unpack_from(layout, head, 16)

    def read(self) -> Elf:
        """Return the facts."""
        kind, machine, _, _, start, sections, _, _, entry, count, section, section_count, _ = self._header
        abi = Abi(64 if self._wide else 32, machine, self._order == "<")
        if kind not in (_EXEC, _DYN):
            return Elf(abi, loadable=False)
        if count > _MAX_SEGMENTS:
            raise _damaged("too many program headers")
        if sections and sections + section * section_count > self._size:
            raise _damaged("its section headers lie beyond its end")
        segments = list(self._segments(start, entry, count))
        interp = next((self._interp(one) for one in segments if one.kind == _PT_INTERP), "")
        dynamic = next((one for one in segments if one.kind == _PT_DYNAMIC), None)
        tags = self._tags(dynamic) if dynamic else {}
        names = _Names(self, tags, segments)
        runpath = _dirs(names.texts(_RUNPATH))
        return Elf(
            abi,
            loadable=True,
            interp=interp,
            needed=names.texts(_NEEDED),
            rpath=() if runpath else _dirs(names.texts(_RPATH)),
            runpath=runpath,
            default_dirs=not any(value & _DF_1_NODEFLIB for value in tags.get(_FLAGS_1, ())),
            soname="".join(names.texts(_SONAME)[:1]),
        )

    def at(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset``; all of them must be there."""
        if offset + size > self._size:
            raise _damaged("cut off")
        data = os.pread(self._fd, size, offset)
        if len(data) != size:
            raise _damaged("cut off")
        return data

    def text_at(self, offset: int, limit: int) -> str:
        """Return the text that ends with NUL within ``limit`` bytes."""
        limit = min(limit, _MAX_TEXT, self._size - offset)
        for size in (_FIRST_READ, limit):
            raw, end, _ = os.pread(self._fd, max(0, min(size, limit)), offset).partition(b"\0")
            if end:
                return _checked(raw)
        raise _damaged("a text in it does not end")

    def _segments(self, start: int, entry: int, count: int) -> Iterator[_Segment]:
        layout = self._order + ("IIQQQQQQ" if self._wide else "IIIIIIII")
        if count and entry != struct.calcsize(layout):
            raise _damaged("its program headers have a wrong size")
        for fields in struct.iter_unpack(layout, self.at(start, count * entry)):
            kind = fields[0]
            offset, address, size = (fields[2], fields[3], fields[5]) if self._wide else (fields[1:3] + fields[4:5])
            if kind in (_PT_LOAD, _PT_DYNAMIC, _PT_INTERP) and offset + size > self._size:
                raise _damaged("cut off")
            yield _Segment(kind, offset, address, size)

    def _interp(self, segment: _Segment) -> str:
        if segment.size > _MAX_TEXT:
            raise _damaged("interpreter name too long")
        name = _checked(self.at(segment.offset, segment.size).partition(b"\0")[0])
        if not name.startswith("/"):
            raise _damaged(f"its interpreter {escape(name)!r} is not an absolute path")
        return name

    def _tags(self, segment: _Segment) -> dict[int, list[int]]:
        layout = self._order + ("QQ" if self._wide else "II")
        step = struct.calcsize(layout)
        size = min(segment.size, _MAX_TAGS * step) // step * step
        tags: dict[int, list[int]] = {}
        for tag, value in struct.iter_unpack(layout, self.at(segment.offset, size)):
            if tag == _NULL:
                return tags
            if tag in _USED_TAGS:
                tags.setdefault(tag, []).append(value)
        raise _damaged("its dynamic section does not end")


class _Names:
    """The texts that dynamic tags point at."""

    def __init__(self, reader: _Reader, tags: dict[int, list[int]], segments: list[_Segment]) -> None:
        self._reader = reader
        self._tags = tags
        address = tags.get(_STRTAB, [0])[0]
        self._size = tags.get(_STRSZ, [0])[0]
        self._offset = next(
            (
                one.offset + address - one.address
                for one in segments
                if one.kind == _PT_LOAD and one.address <= address < one.address + one.size
            ),
            None,
        )

    def texts(self, tag: int) -> tuple[str, ...]:
        """Return the texts of all entries with ``tag``."""
        return tuple(map(self._text, self._tags.get(tag, ())))

    def _text(self, place: int) -> str:
        if self._offset is None or place >= self._size:
            raise _damaged("a name lies outside of its string table")
        return self._reader.text_at(self._offset + place, self._size - place)


def _checked(raw: bytes) -> str:
    text = raw.decode("utf-8", "surrogateescape")
    if not text.isprintable():
        raise _damaged("a name in it is not a plain text")
    return text


def _dirs(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part for text in texts for part in text.split(":"))
