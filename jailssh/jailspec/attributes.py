"""Attributes: the words at the end of a statement that say more about it than its paths and its mode."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from jailssh.core.names import escape
from jailssh.jailspec.errors import SpecError
from jailssh.jailspec.lexer import Word
from jailssh.jailspec.statements import ROOT_OWNER, Origin

_FLAGS = ("optional", "override", "setuid")
_KEYS = ("exclude", "owner")
_OWNER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?(:[A-Za-z0-9_][A-Za-z0-9_.@-]*\$?)?\Z")
_ANY_KEY = re.compile(r"([a-z][a-z_-]*)=")
_MAX_WORD = 24
_NEAR = 0.75


@dataclass
class Attributes:
    """What the attributes say; ``given`` has the column of each that is there."""

    origin: Origin
    given: dict[str, int]
    owner: str = ROOT_OWNER
    excludes: tuple[str, ...] = ()

    @property
    def setuid(self) -> bool:
        """Set-id bits stay."""
        return "setuid" in self.given

    @property
    def optional(self) -> bool:
        """Left out where absent."""
        return "optional" in self.given

    @property
    def override(self) -> bool:
        """Takes the place of something of another kind."""
        return "override" in self.given

    def only(self, what: str, *allowed: str) -> None:
        """Raise :class:`SpecError` if there is one that ``what`` cannot have."""
        for name, column in self.given.items():
            if name not in allowed:
                hint = f"it has: {', '.join(allowed)}" if allowed else ""
                raise SpecError(self.origin.at(column), f"{what} has no attribute '{name}'", hint=hint)


def take_attributes(words: list[Word], origin: Origin) -> tuple[list[Word], Attributes]:
    """Split attributes from the end of a statement; its first word is never one."""
    found = Attributes(origin, {})
    end = len(words)
    while end > 1 and (name := _attribute(words[end - 1])):
        end -= 1
        word = words[end]
        if name in found.given and name != "exclude":
            raise SpecError(origin.at(word.column), f"'{name}' twice")
        found.given[name] = word.column
        _set_value(found, name, word)
    return words[:end], found


def _attribute(word: Word) -> str:
    if word.plain and word.text in _FLAGS:
        return word.text
    key = word.text.partition("=")[0]
    length = len(key) + 1
    return key if key in _KEYS and word.active[:length] == "x" * length == "x" * len(word.text[:length]) else ""


def _set_value(found: Attributes, name: str, word: Word) -> None:
    value = word.text.partition("=")[2]
    origin = found.origin.at(word.column)
    if name == "owner":
        if not _OWNER.match(value):
            hint = "owner=USER, owner=USER:GROUP with names or numbers, or owner=keep"
            raise SpecError(origin, f"no owner: {escape(value, 40)!r}", hint=hint)
        found.owner = ROOT_OWNER if value in ("root", "0", "root:root", "0:0") else value
    elif name == "exclude":
        if not value or any(ord(char) < 0x20 for char in value):
            raise SpecError(origin, "exclude needs a pattern", hint="exclude=*.pyc, or exclude=doc/* below the source")
        found.excludes = (value, *found.excludes)


def misspelt_attribute(word: Word, origin: Origin) -> SpecError | None:
    """Return the error for a word that stands where a target stands but looks like an attribute, else None."""
    if not word.plain or len(word.text) > _MAX_WORD:
        return None
    near = get_close_matches(word.text, _FLAGS, 1, _NEAR)
    if not near and not _ANY_KEY.match(word.text):
        return None
    hint = f"'{near[0]}'?" if near else "known: owner=, exclude=, setuid, optional, override"
    return SpecError(origin.at(word.column), f"unknown attribute {escape(word.text)!r}", hint=hint)


def unknown_word(word: Word, keywords: list[str], origin: Origin) -> SpecError:
    """Return the error for a statement that begins with no known word; its hint names the nearest keyword."""
    if word.text.startswith("{"):
        return SpecError(origin.at(word.column), "a path must be absolute", hint="write it from /")
    near = get_close_matches(word.text.lower(), keywords, 1, _NEAR) if len(word.text) <= _MAX_WORD else []
    hint = f"'{near[0]}'?" if near else "a path begins with /; statements are " + ", ".join(sorted(keywords))
    why = f"{escape(word.text, 40)!r} is neither an absolute path nor a statement"
    return SpecError(origin.at(word.column), why, hint=hint)
