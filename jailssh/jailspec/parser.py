"""A jailspec file as statements: one physical line each, but for the text of ``content … <<END``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from jailssh.core.names import HostPath, JailPath, escape
from jailssh.jailspec.attributes import Attributes, misspelt_attribute, take_attributes, unknown_word
from jailssh.jailspec.devices import UNNUMBERED, DeviceType, default_mode
from jailssh.jailspec.errors import Note, SpecError
from jailssh.jailspec.lexer import BLANKS, Word, tokenize
from jailssh.jailspec.paths import (
    expand_braces,
    host_path,
    is_pattern,
    jail_path,
    join_words,
    joined,
    parse_mode,
    pattern,
)
from jailssh.jailspec.statements import (
    Content,
    Copy,
    Data,
    Device,
    Directory,
    GroupEntry,
    Hardlink,
    Include,
    Need,
    Origin,
    Package,
    Run,
    Section,
    Statement,
    Symlink,
    Tree,
    UserEntry,
)

_RUN = re.compile(r"run(?:\s+(.*))?\Z")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+:-]*\$?\Z")
_PROGRAM = re.compile(r"[^\s/\x00-\x1f\x7f]+\Z")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?\Z")
_SECTION = re.compile(r"[^\s\[\]/\x00-\x1f]+\Z")
_NEEDS = ("logsocket", "proc")
_SET_ID = 0o6000
# dev_t of the kernel: 12 bits of major, 20 of minor (linux/kdev_t.h).
_MAX_MAJOR = 2**12 - 1
_MAX_MINOR = 2**20 - 1


class Parser:
    """Reads one file.  ``errors`` and ``notes`` fill up; what could be read is returned nevertheless."""

    def __init__(self, errors: list[SpecError], notes: list[Note]) -> None:
        self._errors = errors
        self._notes = notes

    def parse(self, data: bytes, file: Origin) -> list[Statement]:
        """Return the statements of a file whose name and include chain are those of ``file``."""
        lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
        found: list[Statement] = []
        at = 0
        while at < len(lines):
            line = lines[at].rstrip("\r")
            at += 1
            text = line.strip(BLANKS)
            if not text or text.startswith("#"):
                continue
            column = len(line) - len(line.lstrip(BLANKS)) + 1
            origin = replace(file, line=at, column=column, text=text)
            try:
                if "\0" in line:
                    raise SpecError(origin.at(line.index("\0") + 1), "a NUL byte")
                if run := _RUN.match(text):
                    found.append(self._run(run[1] or "", origin))
                    continue
                words = tokenize(line, origin)
                document, at = self._document(words, lines, at, origin)
                found += self._statement(words, document, origin)
            except SpecError as error:
                self._errors.append(error)
        return found

    def _document(self, words: list[Word], lines: list[str], at: int, origin: Origin) -> tuple[str, int]:
        """Return the text after ``content PATH <<END`` and the line that follows it."""
        if len(words) < 3 or words[0].text != "content" or not words[2].plain or not words[2].text.startswith("<<"):
            return "", at
        end = words[2].text[2:]
        if not re.fullmatch(r"\w+", end):
            raise SpecError(origin.at(words[2].column), "<< needs a word that ends the text, such as <<END")
        for after in range(at, len(lines)):
            if lines[after].strip(BLANKS) == end:
                text = "".join(line.removesuffix("\r") + "\n" for line in lines[at:after])
                if "\0" in text:
                    raise SpecError(origin, "a NUL byte in the text")
                return text, after + 1
        # All that follows was taken for the text, so nothing can be said about it.
        why = f"the text is not ended by a line {escape(end, 40)}"
        self._errors.append(SpecError(origin.at(words[2].column), why))
        return "", len(lines)

    def _statement(self, words: list[Word], document: str, origin: Origin) -> list[Statement]:
        first = words[0].text if words[0].plain else ""
        if first == "content":
            return [self._content(words, document, origin)]
        if first in _KEYWORDS:
            return _KEYWORDS[first](self, words, origin)
        if any(word.is_arrow for word in words):
            return [self._link(words, origin)]
        if not words[0].text.startswith("/"):
            raise unknown_word(words[0], [*_KEYWORDS, "content", "run"], origin)
        return self._path_statement(words, origin)

    def _run(self, command: str, origin: Origin) -> Statement:
        if not command:
            raise SpecError(origin, "run needs a command", hint="write: run COMMAND")
        return Run(command, origin=origin)

    def _include(self, words: list[Word], origin: Origin) -> list[Statement]:
        if len(words) < 2 or not joined(words[1:]):
            raise SpecError(origin, "include needs a file", hint="write: include FILE")
        return [Include(joined(words[1:]), origin=origin)]

    def _path_statement(self, words: list[Word], origin: Origin) -> list[Statement]:
        """A line that begins with a path and has no arrow: directory, device or copy, in jailtime's order."""
        rest, attributes = take_attributes(words, origin)
        numbered = len(rest) > 1 and rest[-1].is_number and rest[-2].text.endswith("/")
        if numbered or rest[-1].text.endswith("/"):
            paths, mode = (rest[:-1], rest[-1]) if numbered else (rest, None)
            return self._directories(paths, mode, attributes, origin)
        for at, word in enumerate(rest[1:], 1):
            if word.text.startswith("/"):
                break
            if len(word.text) == 1 and word.plain and word.text.isalpha():
                return [self._device(join_words(rest[:at]), rest[at:], attributes, origin)]
        return self._copies(rest, attributes, origin)

    def _directories(
        self, words: list[Word], mode: Word | None, attributes: Attributes, origin: Origin
    ) -> list[Statement]:
        attributes.only("a directory", "owner", "override")
        for word in words[1:]:
            if word.text.startswith("/"):
                raise SpecError(
                    origin.at(word.column),
                    "two paths, and the last ends with '/': neither a copy nor one directory",
                    hint="name the file in the target directory; quote a name with blanks; copy a directory by 'tree'",
                )
        bits = parse_mode(mode.text, origin.at(mode.column), "directory") if mode else 0o755
        if bits & 0o4000:
            self._note(origin, "the set-user-id bit means nothing on a directory and is dropped")
        pairs = expand_braces(join_words(words), origin, lone=True)
        paths = [jail_path(text, origin.at(words[0].column), "directory") for text, _ in pairs]
        if "/" in paths and (mode or attributes.given):
            raise SpecError(origin, "the jail's root is always 0755 and root's")
        return [
            Directory(path, bits & 0o3777, attributes.owner, attributes.override, origin=origin)
            for path in paths
            if path != "/"
        ]

    def _device(self, path: Word, rest: list[Word], attributes: Attributes, origin: Origin) -> Statement:
        """``rest`` is the type and what follows: both numbers, or none for a pipe or a socket, and a mode."""
        attributes.only("a device", "owner", "override")
        word, numbers = rest[0].text, rest[1:]
        usage = "write: PATH c|b|u|p|s MAJOR MINOR [MODE]; p and s need no numbers"
        try:
            # mknod(1) takes u, unbuffered, for a character device.
            type = DeviceType("c" if word == "u" else word)
        except ValueError:
            raise SpecError(origin.at(rest[0].column), f"unknown device type {word!r}", hint=usage) from None
        for number in numbers:
            if not number.is_number:
                raise SpecError(origin.at(number.column), f"{escape(number.text, 40)!r} is not a number", hint=usage)
        if len(numbers) not in (2, 3) and (numbers or type not in UNNUMBERED):
            raise SpecError(origin.at(rest[-1].column), "incomplete or overfull device statement", hint=usage)
        major = _number(numbers[0], _MAX_MAJOR, "major", origin) if numbers else 0
        minor = _number(numbers[1], _MAX_MINOR, "minor", origin) if numbers else 0
        mode = default_mode(type, major, minor)
        if len(numbers) == 3:
            mode = parse_mode(numbers[2].text, origin.at(numbers[2].column), "file") & 0o777
        place = jail_path(path.text, origin, "device")
        return Device(place, type, major, minor, mode, attributes.owner, attributes.override, origin=origin)

    def _copies(self, words: list[Word], attributes: Attributes, origin: Origin) -> list[Statement]:
        attributes.only("a file", "owner", "setuid", "optional", "override")
        source, rest = words[0], words[1:]
        if source.text.endswith("/"):
            hint = "write 'tree SOURCE [TARGET]' to copy a directory with all below it"
            raise SpecError(origin.at(source.column), "a directory cannot be the source of a copy", hint=hint)
        mode: int | None = None
        if rest and rest[-1].is_number and (len(rest) > 1 or re.fullmatch("[0-7]+", rest[-1].text)):
            mode = self._file_mode(rest.pop(), attributes, origin)
        target = self._target(rest, mode is not None, origin) if rest else None
        pairs = expand_braces(source, origin, lone=False)
        if target and (len(pairs) > 1 or is_pattern(*pairs[0])):
            hint = "leave the target out, or quote the name; 'tree' copies a directory elsewhere"
            raise SpecError(origin.at(rest[0].column), "several files cannot have one target", hint=hint)
        found: list[Statement] = []
        for text, active in pairs:
            glob = is_pattern(text, active)
            path = host_path(pattern(text, active) if glob else text, origin.at(source.column))
            found.append(
                Copy(
                    path,
                    target,
                    mode,
                    attributes.owner,
                    attributes.setuid,
                    attributes.optional,
                    attributes.override,
                    glob,
                    origin=origin,
                )
            )
        return found

    def _file_mode(self, word: Word, attributes: Attributes, origin: Origin) -> int:
        mode = parse_mode(word.text, origin.at(word.column), "file")
        if mode & _SET_ID and not attributes.setuid:
            self._note(origin, "the mode's set-id bits are dropped: they need the attribute 'setuid'")
            mode &= ~_SET_ID
        return mode & 0o6777

    def _target(self, words: list[Word], has_mode: bool, origin: Origin) -> JailPath:
        """The target of a copy, blanks included as jailtime has it; a number before a mode needs no leading ``/``."""
        first, text = words[0], joined(words)
        for word in words:
            if error := misspelt_attribute(word, origin):
                raise error
            if word is not first and word.text.startswith("/"):
                raise SpecError(origin.at(word.column), "one path too many", hint="quote a name with blanks")
        if len(words) == 1 and first.is_number and has_mode:
            text = "/" + text
        elif not text.startswith("/"):
            kind = "not an octal mode and not an absolute path"
            hint = "write the target from /"
            raise SpecError(origin.at(first.column), f"{escape(text, 80)!r} is {kind}", hint=hint)
        if len(words) > 1:
            self._note(origin, f"the target is the name with blanks {escape(text, 80)!r}; quote it to say so")
        return jail_path(text, origin.at(first.column))

    def _link(self, words: list[Word], origin: Origin) -> Statement:
        at = next(at for at, word in enumerate(words) if word.is_arrow)
        arrow, before, after = words[at], words[:at], words[at + 1 :]
        if not before or not after:
            hint = "write: NAME -> TEXT for a symbolic link, NAME => FILE for a hard link"
            raise SpecError(origin.at(arrow.column), "a path is missing beside the arrow", hint=hint)
        for word in after:
            if word.is_arrow:
                raise SpecError(origin.at(word.column), "more than one arrow", hint="quote a name with an arrow in it")
        after, attributes = take_attributes(after, origin)
        attributes.only("a link", "override")
        path = jail_path(joined(before), origin.at(before[0].column), "link")
        text, column = joined(after), after[0].column
        if path == "/":
            raise SpecError(origin, "the jail's root cannot be a link")
        if arrow.text == "=>":
            existing = jail_path(text, origin.at(column), "file in the jail")
            return Hardlink(path, existing, attributes.override, origin=origin)
        if not text or any(ord(char) < 0x20 or char == "\x7f" for char in text):
            raise SpecError(origin.at(column), "the link's text is empty or has control characters")
        return Symlink(path, text, attributes.override, origin=origin)

    def _content(self, words: list[Word], document: str, origin: Origin) -> Statement:
        words, attributes = take_attributes(words, origin)
        attributes.only("content", "owner", "override")
        usage = 'write: content PATH "TEXT" [MODE] [owner=…], or content PATH <<END and the lines up to END'
        if len(words) not in (3, 4) or (len(words) == 4 and not words[3].is_number):
            raise SpecError(origin, "content needs a path and a text", hint=usage)
        inline = not (words[2].plain and words[2].text.startswith("<<"))
        if inline and words[2].plain:
            raise SpecError(origin.at(words[2].column), "the text must be quoted", hint=usage)
        mode = parse_mode(words[3].text, origin.at(words[3].column), "file") & 0o777 if len(words) == 4 else 0o644
        path = jail_path(words[1].text, origin.at(words[1].column))
        text = words[2].text if inline else document
        return Content(path, text, mode, attributes.owner, attributes.override, origin=origin)

    def _tree(self, words: list[Word], origin: Origin) -> list[Statement]:
        rest, attributes = take_attributes(words, origin)
        attributes.only("a tree", "owner", "setuid", "optional", "exclude")
        if len(rest) not in (2, 3):
            raise SpecError(origin, "tree needs a directory", hint="write: tree SOURCE [TARGET] [exclude=PATTERN]…")
        target = jail_path(rest[2].text, origin.at(rest[2].column)) if len(rest) == 3 else None
        pairs = expand_braces(rest[1], origin, lone=False)
        if target and (len(pairs) > 1 or is_pattern(*pairs[0])):
            raise SpecError(origin.at(rest[2].column), "several trees cannot have one target")
        found: list[Statement] = []
        for text, active in pairs:
            glob = is_pattern(text, active)
            source = host_path(pattern(text, active) if glob else text, origin.at(rest[1].column))
            owner, setuid, optional = attributes.owner, attributes.setuid, attributes.optional
            found.append(Tree(source, target, attributes.excludes, owner, setuid, optional, glob, origin=origin))
        return found

    def _programs(self, words: list[Word], origin: Origin) -> list[Statement]:
        names, attributes = self._names(words, origin, "optional", "setuid", "owner")
        found: list[Statement] = []
        for word in names:
            if not _PROGRAM.match(word.text):
                hint = "a path needs no keyword"
                raise SpecError(origin.at(word.column), f"{escape(word.text, 40)!r} is no bare program name", hint=hint)
            copy = Copy(HostPath(word.text), search=True, optional=attributes.optional, origin=origin)
            found.append(replace(copy, setuid=attributes.setuid, owner=attributes.owner))
        return found

    def _packages(self, words: list[Word], origin: Origin) -> list[Statement]:
        names, attributes = self._names(words, origin, "optional", "exclude")
        _check(names, _PACKAGE, "package name", origin)
        return [Package(word.text, attributes.excludes, attributes.optional, origin=origin) for word in names]

    def _users(self, words: list[Word], origin: Origin) -> list[Statement]:
        names, attributes = self._names(words, origin, "optional")
        _check(names, _NAME, "account name", origin)
        return [UserEntry(word.text, attributes.optional, origin=origin) for word in names]

    def _groups(self, words: list[Word], origin: Origin) -> list[Statement]:
        names, attributes = self._names(words, origin, "optional")
        _check(names, _NAME, "group name", origin)
        return [GroupEntry(word.text, attributes.optional, origin=origin) for word in names]

    def _sections(self, words: list[Word], origin: Origin) -> list[Statement]:
        names, attributes = self._names(words, origin, "optional")
        _check(names, _SECTION, "section name", origin)
        return [Section(word.text, attributes.optional, origin=origin.at(word.column)) for word in names]

    def _data(self, words: list[Word], origin: Origin) -> list[Statement]:
        names, _ = self._names(words, origin)
        _check(names, _NAME, "name of a data set", origin)
        return [Data(word.text, origin=origin) for word in names]

    def _needs(self, words: list[Word], origin: Origin) -> list[Statement]:
        names, _ = self._names(words, origin)
        for word in names:
            if word.text not in _NEEDS:
                hint = "known: " + ", ".join(_NEEDS)
                raise SpecError(origin.at(word.column), f"unknown need {escape(word.text, 40)!r}", hint=hint)
        return [Need(word.text, origin=origin) for word in names]

    def _names(self, words: list[Word], origin: Origin, *allowed: str) -> tuple[list[Word], Attributes]:
        names, attributes = take_attributes(words, origin)
        keyword = words[0].text
        attributes.only(f"'{keyword}'", *allowed)
        if len(names) < 2:
            raise SpecError(origin, f"{keyword} needs a name", hint=f"write: {keyword} NAME…")
        return names[1:], attributes

    def _note(self, origin: Origin, text: str) -> None:
        self._notes.append(Note(origin, text))


def _number(word: Word, most: int, what: str, origin: Origin) -> int:
    digits = word.text.lstrip("0") or "0"
    if len(digits) > len(str(most)) or int(digits) > most:
        raise SpecError(origin.at(word.column), f"the {what} number is out of range", hint=f"at most {most}")
    return int(digits)


def _check(words: list[Word], allowed: re.Pattern[str], what: str, origin: Origin) -> None:
    for word in words:
        if not allowed.match(word.text):
            raise SpecError(origin.at(word.column), f"{escape(word.text, 40)!r} is no {what}")


_Handler = Callable[[Parser, list[Word], Origin], list[Statement]]
# Before there were keywords, a first word without '/' was a source below the current directory, which is refused.
_KEYWORDS: dict[str, _Handler] = {
    "data": Parser._data,
    "group": Parser._groups,
    "include": Parser._include,
    "need": Parser._needs,
    "package": Parser._packages,
    "program": Parser._programs,
    "section": Parser._sections,
    "tree": Parser._tree,
    "user": Parser._users,
}
