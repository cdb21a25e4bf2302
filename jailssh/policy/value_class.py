"""Value classes: what the value of an option or an operand may be.  One text token each; this is their only reader.

========================  =====================================================================================
``flag``                  no value (long options only)
``int:MIN:MAX``           decimal integer in the range
``size:MAX``              number with optional fraction and unit suffix as rsync writes sizes (``1.5m``, ``2G-1``)
``word``                  1-255 bytes of ``[A-Za-z0-9_.,:+@%=-]``, not beginning with ``-``
``pattern:TEXT``          a word that is TEXT, where each ``*`` stands for any run of a word's characters or none
``text``                  up to 1024 printable bytes (0x20-0x7e and UTF-8 above)
``enum:a,b,c``            exactly one of these
``path``                  a path at or below one of the rule's roots, after ``~/`` and relative paths are resolved
``repository``            a path of a git repository that exists, under the one name that git would open; no
                          component is ``.git``; where the rule has patterns, it fits one of them
``new-repository``        such a path where nothing is yet, ending in ``.git`` (added where it is missing)
``capabilities``          rsync's tail of a short cluster: ``[0-9]*.[A-Za-z]*`` behind ``-e``
========================  =====================================================================================

``class_parse`` in ``login/kind.c`` takes exactly the same texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from jailssh.core.names import binary_size


class Kind(Enum):
    """What a class is, as it begins in a rule."""

    FLAG = "flag"
    INT = "int"
    SIZE = "size"
    WORD = "word"
    PATTERN = "pattern"
    TEXT = "text"
    ENUM = "enum"
    PATH = "path"
    REPOSITORY = "repository"
    NEW_REPOSITORY = "new-repository"
    CAPABILITIES = "capabilities"


REPOSITORIES = frozenset((Kind.REPOSITORY, Kind.NEW_REPOSITORY))
"""Classes of paths that exist and of paths that do not: no operand is of both."""
PATHS = REPOSITORIES | {Kind.PATH}
OPTIONS_ONLY = frozenset((Kind.FLAG, Kind.CAPABILITIES))
"""Classes that no operand can be of."""
_BEHIND: Mapping[Kind, str] = {
    Kind.INT: r"(-?[0-9]{1,9}):(-?[0-9]{1,10})",
    Kind.SIZE: r"[0-9]{1,18}",
    Kind.PATTERN: r"[A-Za-z0-9_.,:+@%=*-]{1,255}",
    Kind.ENUM: r"[A-Za-z0-9_.,-]{1,1024}",
}
"""What must stand behind the colon; the other classes have none.  Compiled where it is used: most commands use none."""
_KINDS = {kind.value: kind for kind in Kind}
_DESCRIBED: Mapping[Kind, str] = {
    Kind.FLAG: "no value",
    Kind.INT: "a number from {0.least} to {0.most}",
    Kind.WORD: "a word",
    Kind.PATTERN: "a text like {0.pattern}",
    Kind.TEXT: "any text",
    Kind.PATH: "a path",
    Kind.REPOSITORY: "a repository",
    Kind.NEW_REPOSITORY: "a repository that does not exist yet",
    Kind.CAPABILITIES: "the client's capabilities",
}


@dataclass(frozen=True, kw_only=True)
class ValueClass:
    """A class, parsed: ``least`` is of ``int``, ``most`` of ``int`` and ``size`` (bytes)."""

    kind: Kind
    least: int = 0
    most: int = 0
    choices: tuple[str, ...] = ()
    pattern: str = ""

    def describe(self) -> str:
        """Return what it takes, for people: ``a number from 1 to 9``."""
        if self.kind is Kind.SIZE:
            return f"a size up to {binary_size(self.most)}"
        if self.kind is Kind.ENUM:
            return f"one of {', '.join(self.choices)}"
        return _DESCRIBED[self.kind].format(self)


@lru_cache(maxsize=1 << 12)
def parse_class(text: str) -> ValueClass:
    """Return the class that ``text`` names.  Raises :class:`ValueError` where it names none."""
    head, colon, rest = text.partition(":")
    kind = _KINDS.get(head)
    form = _BEHIND.get(kind) if kind else None
    found = re.fullmatch(form, rest) if form and colon else None
    if kind is None or bool(colon) != bool(form) or (form and not found):
        raise ValueError(f"{text!r} is not a value class")
    if found is None:
        return ValueClass(kind=kind)
    if kind is Kind.INT:
        return ValueClass(kind=kind, least=int(found[1]), most=int(found[2]))
    if kind is Kind.SIZE:
        return ValueClass(kind=kind, most=int(rest))
    return ValueClass(kind=kind, pattern=rest) if kind is Kind.PATTERN else ValueClass(kind=kind, choices=choices(text))


def choices(text: str) -> tuple[str, ...]:
    """Return the words of ``enum:a,b``; () for everything that is not one, be it a class, a setting or an argument."""
    head, colon, rest = text.partition(":")
    return tuple(rest.split(",")) if colon and head == Kind.ENUM.value else ()


def bounds(text: str) -> tuple[int, int] | None:
    """Return the least and the most of ``int:MIN:MAX``, of any size; None for everything that is not one."""
    head, _, rest = text.partition(":")
    low, _, high = rest.partition(":")
    return (int(low), int(high)) if high and head == Kind.INT.value else None
