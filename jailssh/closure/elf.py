"""What the dynamic loader would read from an ELF file (elf(5), ld.so(8)); nothing is ever executed, as ldd(1) would.

Files come from the host's packages, yet any of them may be damaged or made to mislead: every number is bounded.
The parser is pyelftools, and stays so: a parser of our own would be faster, but half a second for all of /usr/bin is
fast enough, and what was read is remembered between runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from jailssh.closure.errors import ImageError
from jailssh.core.names import escape

if TYPE_CHECKING:
    from elftools.elf.dynamic import Dynamic
    from elftools.elf.elffile import ELFFile
    from elftools.elf.segments import InterpSegment

MAGIC = b"\x7fELF"
_MAX_SEGMENTS = 256
_MAX_SECTIONS = 20_000
_MAX_TAGS = 4096
_MAX_TEXT = 4096
_DF_1_NODEFLIB = 0x800
_DF_1_PIE = 0x08000000


@dataclass(frozen=True)
class Abi:
    """What two objects must share to be loaded together."""

    bits: int
    machine: str
    little_endian: bool


@dataclass(frozen=True)
class Elf:
    """The facts for the loader.  ``interp`` is "" and ``needed`` empty in what loads nothing.

    ``loadable`` is False for relocatable objects and core dumps.  ``program``: made to be started, not only to be
    loaded by others; some libraries can be executed, too (libc.so.6 says its version).
    """

    abi: Abi
    loadable: bool
    interp: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    default_dirs: bool = True
    soname: str = ""
    program: bool = False


def read_elf(file: BinaryIO, name: str) -> Elf:
    """Return the loader's facts about ``file``; ``name`` is for the error.  Raises :class:`ImageError` if damaged."""
    try:
        return _read(file)
    except ImageError as error:
        raise ImageError(escape(name), error.why) from error
    except Exception as error:  # pyelftools raises many kinds for damaged files, AttributeError among them.
        raise ImageError(
            escape(name), f"damaged ELF file ({escape(str(error), 200) or type(error).__name__})"
        ) from error


def _read(file: BinaryIO) -> Elf:
    # Imported here: it takes longer than a whole run that finds nothing to do.
    from elftools.elf.dynamic import Dynamic
    from elftools.elf.elffile import ELFFile
    from elftools.elf.segments import InterpSegment

    elf = ELFFile(file)
    abi = Abi(elf.elfclass, str(elf["e_machine"]), elf.little_endian)
    if elf["e_type"] not in ("ET_EXEC", "ET_DYN"):
        return Elf(abi, loadable=False)
    if elf.num_segments() > _MAX_SEGMENTS or elf.num_sections() > _MAX_SECTIONS:
        raise ImageError("", "damaged ELF file (too many headers)")
    interp = ""
    tags: dict[str, list[str | int]] = {}
    for header in _headers(elf):
        if header["p_type"] == "PT_INTERP":
            interp = _interp(InterpSegment(header, file))
        elif header["p_type"] == "PT_DYNAMIC":
            # Without a string table from the sections: the loader does not look at sections, which may say anything.
            tags = _tags(Dynamic(file, elf, None, header["p_offset"], header["p_filesz"] == 0))
    flags = [value for value in tags.get("DT_FLAGS_1", []) if isinstance(value, int)]
    runpath = _dirs(tags, "DT_RUNPATH")
    soname = "".join(_texts(tags, "DT_SONAME")[:1])
    fixed = elf["e_type"] == "ET_EXEC" or any(value & _DF_1_PIE for value in flags)
    return Elf(
        abi,
        loadable=True,
        interp=interp,
        needed=_texts(tags, "DT_NEEDED"),
        rpath=() if runpath else _dirs(tags, "DT_RPATH"),
        runpath=runpath,
        default_dirs=not any(value & _DF_1_NODEFLIB for value in flags),
        soname=soname,
        program=fixed or bool(interp and not soname),
    )


def _headers(elf: ELFFile) -> Iterator[Mapping[str, Any]]:
    """Give the program headers; the segments that pyelftools makes of them would read all sections, too."""
    from elftools.common.utils import struct_parse

    for number in range(elf.num_segments()):
        at = elf["e_phoff"] + number * elf["e_phentsize"]
        yield struct_parse(elf.structs.Elf_Phdr, elf.stream, stream_pos=at)


def _interp(segment: InterpSegment) -> str:
    if segment["p_filesz"] > _MAX_TEXT:
        raise ImageError("", "damaged ELF file (interpreter name too long)")
    name = str(segment.get_interp_name())
    if not name.startswith("/"):
        raise ImageError("", f"its interpreter {escape(name)!r} is not an absolute path")
    return name


def _tags(dynamic: Dynamic) -> dict[str, list[str | int]]:
    """Return the values of the dynamic tags used here: texts where the tag names one, else the number."""
    attributes = {"DT_NEEDED": "needed", "DT_RPATH": "rpath", "DT_RUNPATH": "runpath", "DT_SONAME": "soname"}
    tags: dict[str, list[str | int]] = {}
    for number, tag in enumerate(dynamic.iter_tags()):
        if number >= _MAX_TAGS:
            raise ImageError("", "damaged ELF file (too many dynamic entries)")
        name = str(tag.entry.d_tag)
        if name in attributes:
            text = str(getattr(tag, attributes[name]))
            if not text.isprintable() or len(text) > _MAX_TEXT:
                raise ImageError("", f"damaged ELF file ({name} is not a plain text)")
            tags.setdefault(name, []).append(text)
        elif name == "DT_FLAGS_1":
            tags.setdefault(name, []).append(int(tag.entry.d_val))
    return tags


def _texts(tags: dict[str, list[str | int]], name: str) -> tuple[str, ...]:
    return tuple(str(value) for value in tags.get(name, []))


def _dirs(tags: dict[str, list[str | int]], name: str) -> tuple[str, ...]:
    return tuple(part for text in _texts(tags, name) for part in text.split(":"))
