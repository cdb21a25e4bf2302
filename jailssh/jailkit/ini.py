"""The dialect of ini files that the C programs of Jailkit read: jk_chrootsh, jk_lsh, jk_uchroot and jk_socketd.

They find other things in a file than its text seems to say: a key that is the beginning of another is that other, a
``[`` within a value opens a section, a value ends after 1023 bytes, ``#`` begins a comment only in the first column.
What comes out here is what the programs act on; wherever that is not what the text says, there is a doubt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from jailssh.sources.found import Effect

MAX_NAME = 255
MAX_VALUE = 1023
_COMMENT_OR_HEADER = re.compile(r"^#.*|\[", re.MULTILINE)


@dataclass(frozen=True)
class Doubt:
    """Where what a program enforces, or what is kept of it, differs from the text; ``line`` counts from 1."""

    line: int
    text: str
    effect: Effect = Effect.NOTE


@dataclass(frozen=True)
class Section:
    """A section: its name, the index of its ``[``, that behind its ``]``, and (index, value) of each key found."""

    name: str
    begin: int
    start: int
    values: Mapping[str, tuple[int, str]]

    def at(self, key: str) -> int:
        """Return the index of a key's line; the section's start where there is none."""
        return self.values[key][0] if key in self.values else self.start

    def text(self, key: str) -> str:
        """Return a value as it is written, blanks in front included; "" where there is none."""
        return self.values.get(key, (0, ""))[1]

    def words(self, key: str) -> list[str]:
        """Return the parts of a list, trimmed, without the empty ones."""
        return [part.strip() for part in self.text(key).split(",") if part.strip()]

    def number(self, key: str, default: int = 0) -> int:
        """Return what ``sscanf("%u")`` takes from the beginning of the value."""
        found = re.match(r"\s*\+?([0-9]+)", self.text(key))
        return int(found[1]) if found else default

    def octal(self, key: str) -> int | None:
        """Return what ``sscanf("%o")`` takes from the beginning of the value; None for nothing."""
        found = re.match(r"\s*([0-7]+)", self.text(key))
        return int(found[1], 8) if found else None

    def real(self, key: str, default: float) -> float:
        """Return what ``sscanf("%f")`` takes from the beginning of the value."""
        found = re.match(r"\s*[+-]?([0-9]+(?:\.[0-9]*)?|\.[0-9]+)", self.text(key))
        return float(found[0]) if found else default


@dataclass
class CIni:
    """A file's text, and the doubts so far, in the order in which they came up."""

    text: str
    doubts: list[Doubt] = field(default_factory=list)

    def line(self, index: int) -> int:
        """Return the line of an index, from 1."""
        return self.text.count("\n", 0, index) + 1

    def warn(self, index: int, text: str, effect: Effect = Effect.NOTE) -> None:
        """Keep a doubt about the line of an index."""
        self.doubts.append(Doubt(self.line(index), text, effect))

    def sorted_doubts(self) -> tuple[Doubt, ...]:
        """Return the doubts in the file's order."""
        return tuple(sorted(self.doubts, key=lambda doubt: doubt.line))

    def every(self, keys: Sequence[str]) -> list[Section]:
        """Return all sections; of several with one name only the first acts."""
        found: dict[str, Section] = {}
        for begin, end, name in _headers(self.text):
            if name in found:
                self.warn(begin, f"this second section [{name}] has no effect")
            else:
                found[name] = Section(name, begin, end, self._values(end, keys))
        return list(found.values())

    def choose(self, keys: Sequence[str], user: str, group: str) -> Section | None:
        """Return the one section that acts for an account with this primary group; None where there is none."""
        found = _headers(self.text)
        for wanted in (user, f"group {group}", "DEFAULT"):
            same = [(begin, end) for begin, end, name in found if name == wanted]
            if not same:
                continue
            begin, end = same[0]
            if self.text[self.text.rfind("\n", 0, begin) + 1 : begin].strip():
                self.warn(begin, f"[{wanted}] is within a value, but opens a section")
            for second, _ in same[1:]:
                self.warn(second, f"this second section [{wanted}] has no effect")
            self._doubt_names(found, wanted)
            return Section(wanted, begin, end, self._values(end, keys))
        return None

    def _doubt_names(self, found: Sequence[tuple[int, int, str]], wanted: str) -> None:
        for begin, _, name in found:
            if len(name) > MAX_NAME:
                self.warn(begin, "a section name of more than 255 bytes makes Jailkit crash")
            elif name not in (wanted, "DEFAULT") and " ".join(name.split()).lower() == wanted.lower():
                self.warn(begin, f"[{name}] is not [{wanted}] for Jailkit and has no effect")

    def _pairs(self, at: int) -> Iterator[tuple[int, str, str]]:
        """Yield (index, key as written, value) of the lines of the section that starts at an index."""
        for line in self.text[at:].split("\n"):
            if line.lstrip().startswith("["):
                return
            if "=" in line and not line.startswith("#"):
                key, value = line.split("=", 1)
                yield at, key, value
            at += len(line) + 1

    def _values(self, start: int, keys: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return index and value of each key: the first line whose key, without blanks, is a beginning of it."""
        out: dict[str, tuple[int, str]] = {}
        for at, written, value in self._pairs(start):
            key = "".join(written.split())
            meant = [name for name in keys if key and name.startswith(key)]
            fresh = [name for name in meant if name not in out]
            for name in fresh:
                held = value.encode("utf-8", "surrogateescape")[:MAX_VALUE].decode("utf-8", "ignore")
                out[name] = (at, held)
                if written.strip() != name:
                    self.warn(at, f"{written.strip()!r} is read as {name}")
                if held != value:
                    self.warn(at, f"{name}: everything after the first {MAX_VALUE} bytes has no effect")
                if re.search(r"\s[#;]", held):
                    self.warn(at, f"{name}: the comment is part of the value")
            if not fresh:
                self.warn(at, f"{written.strip()!r} has no effect" + (": it was set above" if meant else ""))
        return out


@lru_cache(maxsize=64)
def _headers(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return (index of ``[``, index behind ``]``, name) as the programs see them; many accounts share a file."""
    found = []
    at = 0
    while match := _COMMENT_OR_HEADER.search(text, at):
        at = match.end()
        if match[0] == "[":
            end = text.find("]", at)
            if end < 0:
                break
            found.append((match.start(), end + 1, text[at:end]))
            at = end + 1
    return tuple(found)
