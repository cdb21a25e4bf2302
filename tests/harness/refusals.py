"""The places where the login program refuses, read from its source.

A place is ``function: what``: the function that calls ``refuse()`` and the text that it gives, or the expression where
that is no literal.  Of a choice (``a ? b : c``) each side is a place of its own.  Calls of one function with the same
text are told apart by ``#2``, ``#3`` behind it.  Neither files nor the reason before the text matter, so a place keeps
its name when its file moves.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.abilities import REPO

LOGIN = "jailssh/login"
_HEAD = re.compile(r"^[A-Za-z_][\w\s*]*?\b(\w+)\s*\([^;{}]*\)\s*\n\{", re.MULTILINE)
_CALL = re.compile(r"\brefuse\s*\(")
_LITERAL = re.compile(r'"((?:\\.|[^"\\])*)"')


@dataclass(frozen=True)
class Place:
    """One side of one call: its name, and where the call stands in which file."""

    name: str
    file: Path
    begin: int
    end: int


def _without_comments(text: str) -> str:
    """Return the text with comments blanked, every character in its place."""
    pattern = r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*'
    return re.sub(
        pattern,
        lambda found: found[0] if found[0][0] == '"' else re.sub(r"[^\n]", " ", found[0]),
        text,
        flags=re.DOTALL,
    )


def _arguments(text: str, at: int) -> tuple[list[str], int]:
    """Return the arguments of the call whose bracket opens before ``at``, and the place behind its bracket."""
    found, depth, begin, quoted = [], 0, at, False
    while True:
        char = text[at]
        if quoted:
            at += char == "\\"
            quoted = char != '"'
        elif char == '"':
            quoted = True
        elif char in "([{":
            depth += 1
        elif char in ")]}" and depth:
            depth -= 1
        elif char in ",)" and not depth:
            found.append(" ".join(text[begin:at].split()))
            begin = at + 1
            if char == ")":
                return found, at + 1
        at += 1


def _sides(what: str) -> list[str]:
    choice = re.fullmatch(r"[^\"?]*\?(.*):(.*)", what)
    return [side.strip() for side in choice.groups()] if choice else [what]


def places_in(file: Path, text: str) -> Iterator[Place]:
    """Yield the places of one file's text, in order."""
    code = _without_comments(text)
    heads = [(found.start(), found[1]) for found in _HEAD.finditer(code)]
    seen: Counter[str] = Counter()
    for call in _CALL.finditer(code):
        inside = [name for begin, name in heads if begin < call.start()]
        arguments, end = _arguments(code, call.end())
        if not inside or inside[-1] == "refuse":
            continue  # its own declaration or definition
        for side in _sides(arguments[1]):
            literal = _LITERAL.fullmatch(side)
            name = f"{inside[-1]}: {literal[1] if literal else side}"
            seen[name] += 1
            yield Place(name if seen[name] == 1 else f"{name} #{seen[name]}", file, call.start(), end)


def all_places(root: Path = REPO) -> list[Place]:
    """Return every place of the login program of the tree at ``root``, in the order of its files."""
    # What root starts itself refuses nobody a login: tests/sshd/test_exec.py.
    files = sorted(file for file in (root / LOGIN).rglob("*.[ch]") if file.name != "join_main.c")
    return [place for file in files for place in places_in(file, file.read_text())]
