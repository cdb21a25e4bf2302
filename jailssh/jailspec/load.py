"""From names of files and sections to statements: includes and sections in the place where they are named."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from jailssh.core.closed import Word
from jailssh.core.errors import JailsshError
from jailssh.core.names import escape
from jailssh.jailspec.errors import Note, SpecError
from jailssh.jailspec.jkinit import JkInit, parse_ini
from jailssh.jailspec.parser import Parser
from jailssh.jailspec.sections import REPAIRS, SHIPPED, Repair, shipped_text
from jailssh.jailspec.statements import REPAIR, SECTION, Include, Origin, Section, Statement

Read = Callable[[str], bytes]
Real = Callable[[str], str]
_MAX_DEPTH = 32
_MAX_FILES = 1000
_MAX_STATEMENTS = 200_000
_MAX_BYTES = 8 << 20
_MAX_NAME = 64
_NEAR = 0.6


class SourceKind(Word):
    """A jailspec file, or a section by its name."""

    FILE = "file"
    SECTION = "section"


@dataclass(frozen=True)
class Source:
    """One spec as the command line names it."""

    kind: SourceKind
    name: str


@dataclass
class Loaded:
    """What was read: statements in order, errors and notes as they came."""

    statements: list[Statement] = field(default_factory=list)
    errors: list[SpecError] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)


def load(
    sources: Sequence[Source],
    read: Read,
    *,
    real: Real = posixpath.normpath,
    jk_init: str | None = None,
    profiles: Collection[str] = (),
) -> Loaded:
    """Return the statements of all sources with includes and sections expanded in place.

    ``read`` returns a file's bytes; its :class:`JailsshError` or :class:`OSError` becomes an error of the line that
    names the file, so trust in files and directories is its business.  ``real`` resolves symbolic links: an include is
    relative to the directory of the real file.  ``jk_init``: an ini file whose sections come before the shipped ones.
    ``profiles``: names that stay :class:`Section` statements when no section has them.
    """
    loader = _Loader(read, real, profiles)
    if jk_init:
        loader.open_ini(jk_init)
    for source in sources:
        top = Origin(source.name, strength=SECTION if source.kind == SourceKind.SECTION else 2)
        if source.kind == SourceKind.FILE:
            loader.file(source.name, top, ())
        else:
            loader.expand([Section(source.name, origin=replace(top, file="section " + source.name))], (), ())
    return loader.out


def list_sections(read: Read, *, jk_init: str | None = None) -> list[tuple[str, str]]:
    """Return name and comment of the sections of ``jk_init``, or of the shipped ones; sorted.  Errors are raised."""
    if not jk_init:
        return [(name, SHIPPED[name].comment) for name in sorted(SHIPPED)]
    loader = _Loader(read, posixpath.normpath, ())
    ini = loader.open_ini(jk_init)
    for error in loader.out.errors:
        raise error
    return ini.names() if ini else []


class _Loader:
    def __init__(self, read: Read, real: Real, profiles: Collection[str]) -> None:
        self.out = Loaded()
        self._read = read
        self._real = real
        self._profiles = profiles
        self._ini: JkInit | None = None
        self._parser = Parser(self.out.errors, self.out.notes)
        self._done: set[str] = set()
        self._cache: dict[str, bytes] = {}
        self._repairs: set[Repair] = set()
        self._files = 0

    def open_ini(self, path: str) -> JkInit | None:
        """Read the administrator's sections."""
        data = self._bytes(path, path, Origin(path))
        if data is not None:
            self._ini = parse_ini(data, path, self.out.errors, self.out.notes)
        return self._ini

    def file(self, path: str, asked: Origin, open_files: tuple[str, ...]) -> None:
        """Read a file that ``asked`` names and expand it; ``open_files`` are those that led here, by real path."""
        try:
            real = self._real(path)
        except OSError as error:
            self._error(asked, f"{escape(path, 512)}: {error.strerror}")
            return
        if real in open_files:
            cycle = " → ".join(escape(name, 512) for name in (*open_files[open_files.index(real) :], real))
            self._error(asked, f"the file includes itself: {cycle}")
            return
        self._files += 1
        if len(open_files) >= _MAX_DEPTH or self._files > _MAX_FILES:
            self._error(asked, f"includes nested deeper than {_MAX_DEPTH} or more than {_MAX_FILES} in all")
            return
        data = self._bytes(path, real, asked)
        if data is not None:
            chain = (*asked.chain, asked.place) if asked.line else ()
            found = self._parser.parse(data, Origin(path, chain=chain, strength=asked.strength))
            self.expand(found, (*open_files, real), ())

    def _bytes(self, path: str, real: str, asked: Origin) -> bytes | None:
        if real not in self._cache:
            try:
                data = self._read(path)
            except JailsshError as error:
                self._error(asked, f"{error.what}: {error.why}", error.hint)
                return None
            except OSError as error:
                self._error(asked, f"{escape(path, 512)}: {error.strerror}")
                return None
            if len(data) > _MAX_BYTES:
                self._error(asked, f"{escape(path, 512)}: larger than {_MAX_BYTES >> 20} MiB")
                return None
            self._cache[real] = data
        return self._cache[real]

    def _error(self, origin: Origin, why: str, hint: str = "") -> None:
        self.out.errors.append(SpecError(origin, why, hint=hint))

    def expand(self, statements: list[Statement], files: tuple[str, ...], sections: tuple[str, ...]) -> None:
        """Append the statements, includes and sections replaced by what they say."""
        for statement in statements:
            if isinstance(statement, Include):
                here = posixpath.dirname(files[-1]) if files else ""
                self.file(posixpath.join(here, statement.path), statement.origin, files)
            elif isinstance(statement, Section):
                self._section(statement, files, sections)
            elif len(self.out.statements) < _MAX_STATEMENTS:
                self.out.statements.append(statement)
            else:
                self._error(statement.origin, f"more than {_MAX_STATEMENTS} statements")
                return

    def _section(self, wanted: Section, files: tuple[str, ...], sections: tuple[str, ...]) -> None:
        """Expand a section, each one once."""
        name, origin = wanted.name, wanted.origin
        if name in sections:
            cycle = " → ".join(escape(other, 60) for other in (*sections[sections.index(name) :], name))
            self._error(origin, f"the section includes itself: {cycle}", "take one of them out of includesections")
            return
        if name in self._done:
            return
        self._done.add(name)
        chain = (*origin.chain, origin.place)
        if self._ini and name in self._ini:
            self._repair(name, chain, self._ini.origin(name))
            found = self._ini.statements(name, chain, self.out.errors)
        elif name in SHIPPED:
            where = Origin(f"section {name}", chain=chain, strength=SECTION)
            found = self._parser.parse(shipped_text(name).encode(), where)
        elif name in self._profiles:
            self.out.statements.append(wanted)
            return
        else:
            self._unknown(wanted)
            return
        self.expand(found, files, (*sections, name))

    def _repair(self, name: str, chain: tuple[str, ...], origin: Origin) -> None:
        """Add what Jailkit's section of that name lacks on today's systems, weaker than anything it says."""
        for repair in REPAIRS.get(name, ()):
            if repair in self._repairs:
                continue
            self._repairs.add(repair)
            self.out.notes.append(Note(origin, f"section {name} repaired: {repair.why}"))
            where = Origin(f"repair of section {name}", chain=chain, strength=REPAIR)
            # Sections of the repairs' own are not marked as done: the administrator's file may have more to say.
            for statement in self._parser.parse(repair.text.encode(), where):
                self._append_repair(statement, where)

    def _append_repair(self, statement: Statement, where: Origin) -> None:
        if isinstance(statement, Section):
            inner = replace(where, file=f"section {statement.name}")
            for part in self._parser.parse(shipped_text(statement.name).encode(), inner):
                self._append_repair(part, where)
        else:
            self.out.statements.append(statement)

    def _unknown(self, wanted: Section) -> None:
        named = [name for name, _ in self._ini.names()] if self._ini else []
        known = sorted({*SHIPPED, *self._profiles, *named})
        why = f"no section {escape(wanted.name, 60)!r}"
        if wanted.optional:
            self.out.notes.append(Note(wanted.origin, why + "; left out"))
            return
        near = get_close_matches(wanted.name[:_MAX_NAME], known, 1, _NEAR)
        self._error(wanted.origin, why, f"'{near[0]}'?" if near else "known: " + ", ".join(known))
