"""Patterns of gitolite's for references, as patterns of ours.

Theirs are regular expressions that hold at the beginning of a name; ours are whole names in which ``*`` is a part of
one component and a last ``**`` the rest.  Names are those that git has and gitolite takes: no empty component, none
that begins with a dot, letters and digits and ``-._@/+,``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum, auto
from functools import lru_cache
from itertools import product

_MOST, _LONGEST = 64, 1024
"""So many patterns of ours for one of theirs, each of so many characters."""
_LETTERS = frozenset("-._@/+,ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_DIGITS = tuple("0123456789")
_DOT = re.compile(r"(?<!\\)\.(?![*+?{])")
_TIMES = re.compile(r"\{([0-9]{1,2})(?:(,)([0-9]{1,2})?)?\}")


class _Any(Enum):
    """What is no single character."""

    ONE = auto()  # one of all
    REST = auto()  # any of all
    SOME = auto()  # at least one of all
    IN_PART = auto()  # one that is no slash
    PART = auto()  # any of these
    SOME_PART = auto()  # at least one of these
    END = auto()


_Text = tuple[str | _Any, ...]
_MANY = {
    (_Any.ONE, "*"): _Any.REST,
    (_Any.ONE, "+"): _Any.SOME,
    (_Any.IN_PART, "*"): _Any.PART,
    (_Any.IN_PART, "+"): _Any.SOME_PART,
}


class _NotOurs(Exception):
    """No patterns of ours fit the same names."""


@lru_cache(maxsize=1 << 12)
def patterns(regex: str) -> tuple[str, ...] | None:
    """Return patterns of ours that fit the same names as ``^regex``, and None where there are none such."""
    try:
        found = [each for text in _Reader(regex).texts() for each in _ours(text)]
    except _NotOurs:
        return None
    out = tuple(dict.fromkeys(found))
    return out if len(out) <= _MOST and all(len(each) <= _LONGEST for each in out) else None


def plain_dots(regex: str) -> str:
    """Return the expression with each ``.`` that stands for one character as a dot: it fits no name more."""
    return _DOT.sub(r"\\.", regex)


def wide_dots(regex: str) -> str:
    """Return the expression with each such ``.`` as any part of a component, or a slash: it fits no name less."""
    return _DOT.sub("([^/]*|/)", regex)


def is_sound(regex: str) -> bool:
    """True if Perl takes the expression.  gitolite ends where it does not, so that everything is refused."""
    if "{" in _TIMES.sub("", re.sub(r"\\.", "", regex)) or re.search(r"\[[^]]*(?:\[|--|\|\|)", regex):
        return False
    try:
        re.compile(regex)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


class _Reader:
    """Reads a regular expression as the texts that it fits; raises :class:`_NotOurs`."""

    def __init__(self, regex: str) -> None:
        self._left = regex

    def texts(self) -> list[_Text]:
        found = self._branch()
        if self._left:
            # An alternative outside of parentheses is not held to the beginning.
            raise _NotOurs
        return found

    def _branch(self) -> list[_Text]:
        found: list[_Text] = [()]
        while self._left and self._left[0] not in "|)":
            found = _joined(found, self._times(self._atom()))
        return found

    def _next(self) -> str:
        if not self._left:
            raise _NotOurs
        char, self._left = self._left[0], self._left[1:]
        return char

    def _atom(self) -> list[_Text]:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class()
        if char == "\\":
            char = self._next()
            if char == "d":
                return [(digit,) for digit in _DIGITS]
            if char.isalnum() or char == "_":
                raise _NotOurs
            return [(char,)]
        if char in "^*+?{":
            raise _NotOurs
        return [({".": _Any.ONE, "$": _Any.END}.get(char, char),)]

    def _group(self) -> list[_Text]:
        if self._left.startswith("?"):
            raise _NotOurs
        found = self._branch()
        while self._next() == "|":
            found = [*found, *self._branch()]
        return found

    def _class(self) -> list[_Text]:
        if self._left.startswith("^/]"):
            self._left = self._left[3:]
            return [(_Any.IN_PART,)]
        inside, closed, rest = self._left.partition("]")
        # Signs that mean something else inside, and in another place.
        if not closed or not inside or inside[0] == "^" or set(inside) & set("\\["):
            raise _NotOurs
        self._left = rest
        found: list[str] = []
        at = 0
        while at < len(inside):
            if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside):
                if inside[at] > inside[at + 2]:
                    raise _NotOurs
                found += map(chr, range(ord(inside[at]), ord(inside[at + 2]) + 1))
                at += 3
            else:
                found.append(inside[at])
                at += 1
        return [(char,) for char in dict.fromkeys(found)]

    def _times(self, atom: list[_Text]) -> list[_Text]:
        """Return what stands for an atom with what says how often."""
        if not self._left or self._left[0] not in "*+?{":
            return atom
        least, most = self._often()
        if self._left[:1] and self._left[0] in "*+?{":
            raise _NotOurs
        sign = {0: "*", 1: "+"}.get(least, "") if most is None else ""
        if len(atom) == 1 and len(atom[0]) == 1 and (many := _MANY.get((atom[0][0], sign))):  # type: ignore[arg-type]
            return [(many,)]
        if any(_Any.END in text for text in atom):
            raise _NotOurs
        if most is None:
            if self._left:
                raise _NotOurs
            # At the end, where everything may follow.
            most = least
        found: list[_Text] = []
        for count in range(least, most + 1):
            texts: list[_Text] = [()]
            for _ in range(count):
                texts = _joined(texts, atom)
            found += texts
        return found

    def _often(self) -> tuple[int, int | None]:
        if self._left[0] == "{":
            match = _TIMES.match(self._left)
            if not match:
                raise _NotOurs
            self._left = self._left[match.end() :]
            least = int(match[1])
            return least, (int(match[3]) if match[3] else None) if match[2] else least
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[self._next()]


def _joined(first: Iterable[_Text], then: Iterable[_Text]) -> list[_Text]:
    found = [(*a, *b) for a, b in product(first, then)]
    if len(found) > 4 * _MOST or any(len(text) > _LONGEST for text in found):
        raise _NotOurs
    return found


def _ours(text: _Text) -> list[str]:
    """Return the patterns for what begins with ``text``, or is it where it has an end."""
    if any(isinstance(each, str) and each not in _LETTERS for each in text):
        return []
    closed = _Any.END in text
    if closed:
        *inner, last = text
        if last is not _Any.END or _Any.END in inner:
            raise _NotOurs
        text = tuple(inner)
        if text and text[-1] in (_Any.REST, _Any.SOME):
            closed = False
    more = 0
    if not closed:
        text, more = _without_rest(text)
    name = _written(text, closed=closed)
    if not name.startswith("refs/"):
        return ["refs/**"] if name == "refs" and not closed else []
    parts = name.split("/") if closed else name.removesuffix("/").split("/")
    if any(not part or part.startswith(".") or ".." in part for part in parts):
        return []
    if closed:
        return [name]
    if name.endswith("/"):
        return [f"{name}**"]
    if more:
        raise _NotOurs
    name = name if name.endswith("*") else f"{name}*"
    return [name, f"{name}/**"]


def _without_rest(text: _Text) -> tuple[_Text, int]:
    """Return what stands before "anything", and of how many characters that is at least."""
    more = 0
    while text and isinstance(text[-1], _Any):
        last = text[-1]
        if last is _Any.SOME_PART and (text[-2:-1] != ("/",) or more):
            raise _NotOurs
        if last is _Any.IN_PART and text[-2:-1] != ("/",):
            raise _NotOurs
        more += last in (_Any.ONE, _Any.SOME, _Any.SOME_PART, _Any.IN_PART)
        text = text[:-1]
    if more > 1:
        raise _NotOurs
    return text, more


def _written(text: _Text, *, closed: bool) -> str:
    out = ""
    for at, each in enumerate(text):
        if each is _Any.SOME_PART:
            # A component has at least one character.
            ends = text[at + 1] == "/" if at + 1 < len(text) else closed
            if not out.endswith("/") or not ends:
                raise _NotOurs
        elif isinstance(each, _Any) and each is not _Any.PART:
            raise _NotOurs
        out += each if isinstance(each, str) else "" if out.endswith("*") else "*"
    return out
