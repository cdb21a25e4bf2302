"""A line of a jailspec as words.

A backslash takes the meaning from the next character, if that has one in this language; anywhere else it is itself.
A quote is one at the beginning of a word and after ``key=``; inside a word it is a plain character.  Both rules, and
the blank that must precede a trailing ``#``, leave the paths of existing files as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jailssh.jailspec.errors import SpecError
from jailssh.jailspec.statements import Origin

BLANKS = " \t\v\f\r"
ARROWS = ("->", "=>")
_ESCAPABLE = frozenset(" \t\\#\"'{},*?[]-=>")
_KEY = re.compile(r"[a-z]+=")
_MAX_KEY = 16
_SIMPLE = {"n": "\n", "t": "\t", "\\": "\\", '"': '"', "'": "'"}
_HEX = re.compile(r"x([0-9a-fA-F]{2})")


@dataclass(frozen=True)
class Word:
    """One word: its text, where it begins (column from 1) and the blanks before it.

    ``active`` has a character for each of ``text``: ``x`` where it may mean something, a blank where it was quoted.
    """

    text: str
    active: str
    column: int
    blank: str = ""

    @property
    def plain(self) -> bool:
        """True if nothing in the word was quoted: only such a word can be a keyword, an arrow, a mode."""
        return bool(self.text) and " " not in self.active

    @property
    def is_arrow(self) -> bool:
        """True for an unquoted ``->`` or ``=>``."""
        return self.plain and self.text in ARROWS

    @property
    def is_number(self) -> bool:
        """True for unquoted ASCII digits."""
        return self.plain and self.text.isascii() and self.text.isdigit()


def tokenize(line: str, origin: Origin) -> list[Word]:
    """Return the words of a line without its comment, or raise :class:`SpecError`; time grows with the length."""
    words: list[Word] = []
    at = 0
    while True:
        start = at
        while at < len(line) and line[at] in BLANKS:
            at += 1
        if at == len(line) or (line[at] == "#" and (at > start or not at)):
            return words
        if line.startswith(ARROWS, at):
            text, active, end = line[at : at + 2], "xx", at + 2
        elif line[at] in "\"'":
            text, end = _quoted(line, at, origin)
            active = " " * len(text)
        else:
            text, active, end = _bare(line, at, origin)
        words.append(Word(text, active, at + 1, line[start:at]))
        at = end


def _bare(line: str, at: int, origin: Origin) -> tuple[str, str, int]:
    """Read an unquoted word; blanks between braces belong to it."""
    chars: list[str] = []
    active: list[str] = []
    last_brace = line.rfind("}")
    depth = 0
    while at < len(line):
        char = line[at]
        if char == "\\" and at + 1 < len(line) and line[at + 1] in _ESCAPABLE:
            chars.append(line[at + 1])
            active.append(" ")
            at += 2
            continue
        if _ends(line, at) if not depth else char == "#" and line[at - 1] in BLANKS:
            break
        if char in "\"'" and len(chars) <= _MAX_KEY and _KEY.fullmatch("".join(chars)):
            text, at = _quoted(line, at, origin)
            return "".join(chars) + text, "x" * len(chars) + " " * len(text), at
        if char == "{" and at < last_brace:
            depth += 1
        elif char == "}" and depth:
            depth -= 1
        chars.append(char)
        active.append("x")
        at += 1
    return "".join(chars), "".join(active), at


def _ends(line: str, at: int) -> bool:
    return at == len(line) or line[at] in BLANKS or line.startswith(ARROWS, at)


def _quoted(line: str, at: int, origin: Origin) -> tuple[str, int]:
    """Return the text of a quoted word and where it ends."""
    quote, start = line[at], at
    chars: list[str] = []
    at += 1
    while at < len(line) and line[at] != quote:
        if line[at] == "\\" and quote == '"':
            text, at = _escape(line, at + 1, origin)
            chars.append(text)
        else:
            chars.append(line[at])
            at += 1
    if at == len(line):
        raise SpecError(origin.at(start + 1), f"the quote {quote} is not closed")
    if not _ends(line, at + 1):
        raise SpecError(origin.at(at + 2), "a blank is missing after the closing quote")
    # Escaped bytes may have made a character together.
    return "".join(chars).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"), at + 1


def _escape(line: str, at: int, origin: Origin) -> tuple[str, int]:
    """Return what the escape after a backslash in double quotes stands for, and where it ends."""
    if found := _HEX.match(line, at):
        return bytes.fromhex(found[1]).decode("utf-8", "surrogateescape"), at + 3
    if at < len(line) and line[at] in _SIMPLE:
        return _SIMPLE[line[at]], at + 1
    raise SpecError(
        origin.at(at), "unknown escape in double quotes", hint=r"known: \\ \" \' \n \t \xNN; or use single quotes"
    )
