"""Jailkit's ``jk_init.ini`` by the rules of the dialect that jk_init reads it with (Python's configparser, strict).

``=`` or ``:``; ``#`` and ``;`` begin a comment line; an indented line continues the value; keys in any case;
``%(key)s`` and ``%%``; ``[DEFAULT]`` is inherited.  What made jk_init stop, or silently do something else than what is
written, becomes a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from jailssh.core.names import HostPath, JailPath, escape
from jailssh.jailspec.devices import FOR_ALL, DeviceType, default_mode
from jailssh.jailspec.errors import Note, SpecError
from jailssh.jailspec.paths import clean_path, host_path, jail_path
from jailssh.jailspec.statements import (
    KEEP_OWNER,
    SECTION,
    Copy,
    Device,
    Directory,
    GroupEntry,
    HostDevice,
    Need,
    Origin,
    Section,
    Statement,
    UserEntry,
)

DEFAULT = "DEFAULT"
# In the order in which jk_init puts them together; all but the first are deprecated names of it.
_PATHS = ("paths", "libraries", "executables", "regularfiles", "directories")
_LISTS = (*_PATHS, "paths_w_owner", "paths_w_setuid", "emptydirs", "devices", "users", "groups", "includesections")
_FLAGS = ("need_logsocket", "need_proc")
_KEYS = ("comment", *_LISTS, *_FLAGS)
_FALSE = ("0", "no", "false", "off")
_HEADER = re.compile(r"\[(.+)\]")
_OPTION = re.compile(r"([^=:]*?)\s*[=:]\s*(.*)\Z", re.DOTALL)
_REFERENCE = re.compile(r"%(?:(%)|\(([^()]+)\)s)?")
_INLINE = re.compile(r"\s[#;]")
_PROGRAM = re.compile(r"[^\s/\x00-\x1f]+\Z")
_MAX_NESTING = 10
_MAX_SUBSTITUTIONS = 1000
_MAX_VALUE = 1 << 16


@dataclass
class _Value:
    """A key's value: its pieces, each with line and column."""

    origin: Origin
    pieces: list[tuple[int, int, str]]


@dataclass
class _IniSection:
    name: str
    origin: Origin
    values: dict[str, _Value] = field(default_factory=dict)


@dataclass(frozen=True)
class _Item:
    text: str
    origin: Origin


class JkInit:
    """The sections of one file."""

    def __init__(self, sections: dict[str, _IniSection], notes: list[Note]) -> None:
        self._sections = sections
        self._notes = notes
        self._substitutions = 0

    def names(self) -> list[tuple[str, str]]:
        """Return each section with its comment, sorted by name; ``[DEFAULT]`` is none."""
        found = []
        for name in sorted(self._sections):
            value = self._get(name, "comment")
            if name != DEFAULT:
                found.append((name, " ".join(text for _, _, text in value.pieces).strip() if value else ""))
        return found

    def __contains__(self, name: str) -> bool:
        return name in self._sections and name != DEFAULT

    def origin(self, name: str) -> Origin:
        """Return where the section begins."""
        return self._sections[name].origin

    def statements(self, name: str, chain: tuple[str, ...], errors: list[SpecError]) -> list[Statement]:
        """Return what the section says, the sections that it includes first, as :class:`Section` statements."""
        found: list[Statement] = []
        for key in ("includesections", *_PATHS, *_LISTS[len(_PATHS) : -1], *_FLAGS):
            value = self._get(name, key)
            if value is None:
                continue
            for item in self._items(name, value) if key in _LISTS else self._flag(name, value):
                origin = replace(item.origin, chain=chain)
                try:
                    statement = self._statement(key, item.text, origin)
                except SpecError as error:
                    errors.append(error)
                else:
                    found += [statement] if statement else []
        for key, value in self._sections[name].values.items():
            if key not in _KEYS:
                self._note(value.origin, f"jk_init knows no key {escape(key, 40)!r}; ignored")
        return found

    def _get(self, name: str, key: str) -> _Value | None:
        default = self._sections.get(DEFAULT)
        return self._sections[name].values.get(key) or (default.values.get(key) if default else None)

    def _note(self, origin: Origin, text: str) -> None:
        note = Note(origin, text)
        if note not in self._notes:
            self._notes.append(note)

    def _statement(self, key: str, text: str, origin: Origin) -> Statement | None:
        if key in _PATHS:
            return self._path(text, origin)
        if key in ("paths_w_owner", "paths_w_setuid"):
            setuid = key == "paths_w_setuid"
            glob = not setuid and _has_magic(text)
            path = HostPath(clean_path(text, origin, "path"))
            kept = {"owner": KEEP_OWNER, "setuid": setuid, "glob": glob}
            return Copy(path, optional=True, recursive=True, origin=origin, **kept)  # type: ignore[arg-type]
        if key == "includesections":
            return Section(text, optional=True, origin=origin)
        if key == "emptydirs":
            return Directory(jail_path(text, origin, "directory"), origin=origin)
        if key == "devices":
            return _device(jail_path(text, origin, "device"), origin)
        if key in _FLAGS:
            return Need(key.removeprefix("need_"), origin=origin)
        entry = UserEntry if key == "users" else GroupEntry
        return entry(text, optional=True, origin=origin)

    def _path(self, text: str, origin: Origin) -> Statement | None:
        if text.startswith("/"):
            path = host_path(text, origin)
            return Copy(path, optional=True, recursive=True, glob=_has_magic(text), origin=origin)
        if not _PROGRAM.match(text):
            self._note(origin, f"{escape(text, 80)!r} is neither an absolute path nor a program's name; left out")
            return None
        return Copy(HostPath(text), optional=True, recursive=True, search=True, origin=origin)

    def _flag(self, name: str, value: _Value) -> Iterator[_Item]:
        text = "".join(self._text(name, value)).strip()
        if text.lower() in (*_FALSE, ""):
            self._note(value.origin, f"{text or 'nothing'!r} means no; jk_init takes any value for yes")
        else:
            yield _Item(text, value.origin)

    def _text(self, name: str, value: _Value) -> Iterator[str]:
        for _, _, text in value.pieces:
            yield self._interpolated(name, text, value.origin, 0)

    def _items(self, name: str, value: _Value) -> Iterator[_Item]:
        """Yield the entries of a list with their places; a list written in another way than by commas is noted."""
        found: list[_Item] = []
        last = value.pieces[-1][0]
        for line, column, raw in value.pieces:
            origin = replace(value.origin, line=line, column=column)
            text = self._interpolated(name, raw, value.origin, 0)
            if comment := _INLINE.search(text):
                self._note(origin, f"{escape(text[comment.start() + 1 :], 80)!r} taken as a comment")
                text = text[: comment.start()]
            if line != last and text.strip() and not text.rstrip().endswith(","):
                self._note(origin, "a line of a list without a comma at its end; taken as if it had one")
            found += self._split(text, origin, whole=line == last)
        if not found:
            self._note(value.origin, "an empty list; jk_init stops here")
        yield from found

    def _split(self, text: str, origin: Origin, *, whole: bool) -> Iterator[_Item]:
        """Yield the entries of one line; ``whole``: no other line of the list follows."""
        parts = text.split(",")
        at = 0
        for number, part in enumerate(parts):
            words = part.split()
            here = origin.at(origin.column + at + len(part) - len(part.lstrip()))
            at += len(part) + 1
            if len(words) > 1:
                self._note(here, f"{escape(part.strip(), 80)!r} taken as {len(words)} entries")
            elif not words and len(parts) > 1 and (whole or number + 1 < len(parts)):
                self._note(here, "a comma without an entry; jk_init stops here")
            for word in words:
                yield _Item(word, replace(here, text=word))

    def _interpolated(self, name: str, text: str, origin: Origin, depth: int) -> str:
        """Replace ``%(key)s`` and ``%%`` as configparser does; another ``%`` stays and is noted."""

        def one(match: re.Match[str]) -> str:
            if match[1]:
                return "%"
            value = self._get(name, match[2].lower()) if match[2] else None
            self._substitutions += 1
            if value is None or depth == _MAX_NESTING or self._substitutions > _MAX_SUBSTITUTIONS:
                self._note(origin, f"{escape(match[0], 60)!r} stands for nothing and is taken as it is")
                return match[0]
            parts = "\n".join(piece for _, _, piece in value.pieces)
            return self._interpolated(name, parts, origin, depth + 1)[:_MAX_VALUE]

        return _REFERENCE.sub(one, text)[:_MAX_VALUE] if "%" in text else text


def _device(path: JailPath, origin: Origin) -> Statement:
    """Return the node by its numbers where they are the same everywhere, else as the host has it."""
    if path not in FOR_ALL:
        return HostDevice(path, optional=True, origin=origin)
    major, minor = FOR_ALL[path]
    return Device(path, DeviceType.CHAR, major, minor, default_mode(DeviceType.CHAR, major, minor), origin=origin)


def _has_magic(text: str) -> bool:
    return any(char in text for char in "*?[")


def parse_ini(data: bytes, file: str, errors: list[SpecError], notes: list[Note]) -> JkInit:
    """Return the sections of a file; lines that configparser would refuse are ``errors``, repeated names ``notes``."""
    reader = _Reader(file, errors, notes)
    text = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.split("\n"), 1):
        reader.line(number, line.rstrip("\r"))
    return JkInit(reader.sections, notes)


class _Reader:
    """configparser's way through the lines."""

    def __init__(self, file: str, errors: list[SpecError], notes: list[Note]) -> None:
        self.sections: dict[str, _IniSection] = {}
        self._file = file
        self._errors = errors
        self._notes = notes
        self._section: _IniSection | None = None
        self._value: _Value | None = None
        self._indent = 0

    def line(self, number: int, line: str) -> None:
        """Take one line."""
        text = line.strip()
        if not text or text[0] in "#;":
            return
        column = len(line) - len(line.lstrip()) + 1
        origin = Origin(self._file, number, column, text, strength=SECTION)
        if self._value and column - 1 > self._indent:
            self._value.pieces.append((number, column, text))
            return
        self._indent = column - 1
        if header := _HEADER.match(text):
            self._open(header[1], origin)
        elif self._section is None:
            self._errors.append(SpecError(origin, "a line before the first [section]"))
        else:
            self._option(self._section, text, origin)

    def _open(self, name: str, origin: Origin) -> None:
        self._value = None
        old = self.sections.get(name)
        if old and name != DEFAULT:
            text = f"[{escape(name, 60)}] again, after line {old.origin.line}; both are taken"
            self._notes.append(Note(origin, text))
        self._section = self.sections.setdefault(name, _IniSection(name, origin))

    def _option(self, section: _IniSection, text: str, origin: Origin) -> None:
        option = _OPTION.match(text)
        if not option or not option[1]:
            self._value = None
            self._errors.append(SpecError(origin, "neither [section] nor 'key = value'"))
            return
        key = option[1].lower()
        self._value = _Value(origin, [(origin.line, origin.column + option.start(2), option[2])])
        if old := section.values.get(key):
            again = f"'{escape(key, 40)}' again, after line {old.origin.line}; the last counts"
            self._notes.append(Note(origin, again))
        section.values[key] = self._value
