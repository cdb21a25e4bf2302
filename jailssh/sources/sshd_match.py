"""Which line of sshd's configuration decides for an account, and whether that depends on the connection.

What holds sshd itself says; this finds the line that it comes from (sshd_config(5), Match).  The first line that
applies decides, of those in blocks before those outside.  A block of an included file ends with the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jailssh.core.closed import Word
from jailssh.sources.found import Person

_LINE = re.compile(r"\s*\"?([A-Za-z0-9]+)\"?(?:\s*=\s*|\s+)(.*)", re.DOTALL)
_PERSON = ("user", "group", "all")


class Fits(Word):
    """Whether a Match line applies to an account."""

    YES = "yes"
    NO = "no"
    SOMETIMES = "sometimes"  # it depends on the connection


@dataclass(frozen=True)
class Said:
    """A line that says something for an account: ``block`` is the text of its Match line, "" outside of any.

    ``named``: the block names users or groups.
    """

    where: str
    value: str
    fits: Fits
    block: str = ""
    named: bool = False


@dataclass(frozen=True)
class _Block:
    file: str
    fits: Fits = Fits.YES
    text: str = ""
    named: bool = False


def lines_for(person: Person, keyword: str, lines: Iterable[tuple[str, int, str]]) -> list[Said]:
    """Return the lines with ``keyword``, in lower case, that apply to a person; the first one decides."""
    found: list[Said] = []
    stack: list[_Block] = []
    for file, number, text in lines:
        stack = _entered(stack, file)
        match = _LINE.match(text)
        if not match:
            continue
        name, value = match[1].lower(), match[2]
        if name == "match":
            outer = stack[-2].fits if len(stack) > 1 else Fits.YES
            fits, named = _fits(person, value)
            stack[-1] = _Block(file, _both(outer, fits), _clean(value), named)
        elif name == keyword and stack[-1].fits is not Fits.NO:
            block = stack[-1]
            found.append(Said(f"{file}:{number}", _clean(value), block.fits, block.text, block.named))
    return [*(each for each in found if each.block), *(each for each in found if not each.block)]


def _entered(stack: list[_Block], file: str) -> list[_Block]:
    files = [block.file for block in stack]
    if file in files:
        return stack[: files.index(file) + 1]
    outer = stack[-1] if stack else _Block(file)
    return [*stack, _Block(file, outer.fits, outer.text, outer.named)]


def _both(one: Fits, two: Fits) -> Fits:
    return Fits.NO if Fits.NO in (one, two) else Fits.SOMETIMES if Fits.SOMETIMES in (one, two) else Fits.YES


def _clean(value: str) -> str:
    return value.strip(" \t\r\n\f")


def words(text: str) -> Iterator[str]:
    """Yield the words of an argument list: quotes hold one together, ``#`` begins a comment."""
    for found in re.finditer(r'"([^"]*)"|\'([^\']*)\'|(#.*)|([^\s"\']+)', text):
        if found[3] is not None:
            return
        yield next(part for part in (found[1], found[2], found[4]) if part is not None)


def _fits(person: Person, text: str) -> tuple[Fits, bool]:
    parts = [part for word in words(text) for part in _split(word)]
    if [part.lower() for part in parts] == ["all"]:
        return Fits.YES, False
    result, named = Fits.YES, False
    while parts:
        name, value = parts.pop(0).lower(), parts.pop(0) if parts else ""
        if name == "user":
            named, one = True, _listed(value, (person.name,))
        elif name == "group":
            named, one = True, _listed(value, (person.group, *person.groups))
        else:
            # By the connection, by a program, or not known: sshd is asked about one connection only.
            one = Fits.SOMETIMES
        result = _both(result, one)
    return result, named


def _split(word: str) -> Sequence[str]:
    name, equal, value = word.partition("=")
    return (name, value) if equal and name.isalpha() else (word,)


def _listed(patterns: str, names: Iterable[str]) -> Fits:
    """Return whether one of the names fits, and none that a negated pattern names."""
    found = False
    for name in names:
        for pattern in patterns.split(","):
            if _shape(pattern.removeprefix("!")).match(name):
                if pattern.startswith("!"):
                    return Fits.NO
                found = True
    return Fits.YES if found else Fits.NO


def _shape(pattern: str) -> re.Pattern[str]:
    text = "".join(".*" if char == "*" else "." if char == "?" else re.escape(char) for char in pattern)
    return re.compile(rf"{text}\Z", re.DOTALL)
