"""Tables of rights: lines ``RIGHT PATTERN WHO…``, in a jail file or in a file of their own.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache

from jailssh.config.values import Raw
from jailssh.core import patterns
from jailssh.core.errors import ConfigError, JailsshError
from jailssh.plugin.api import REFS, Grant, RefRight

RIGHTS = tuple(Grant)
REF_RIGHTS = tuple(RefRight)
_WORDS = frozenset((*RIGHTS, *REF_RIGHTS))
EXAMPLE = "as in: write team/** @developers alice"
REF_EXAMPLE = "as in: push team/* refs/heads/** @developers"
MAX_TABLE = 1 << 24
"""The largest file with a table, in bytes."""
_WHO = re.compile(r"@?[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,254}\$?\Z")


@dataclass(frozen=True)
class RightsLine:
    """One line of a table: its words with single blanks between, and where it stands."""

    text: str
    origin: str


@dataclass(frozen=True)
class Table:
    """A file with a table: its path, and what it holds or why it cannot be read."""

    file: str
    data: bytes | JailsshError


def is_who(word: str) -> bool:
    """True if ``word`` can be somebody a right is for: a name, or ``@`` and a group."""
    return _WHO.match(word) is not None


def file_of(raw: Raw) -> str:
    """Return the path of the file that a setting of kind ``rights`` names, "" where it holds the lines itself."""
    return raw.strip() if isinstance(raw, str) and raw.startswith("/") else ""


def read_rights(
    raw: Raw, origin: str, tables: Mapping[str, Table], errors: list[JailsshError]
) -> tuple[RightsLine, ...]:
    """Return the table that ``raw``, written at ``origin``, stands for; adds to ``errors`` what is wrong with it.

    ``tables``: the files that hold tables, by the path as written.
    """
    path = file_of(raw)
    if not path:
        parts = (raw,) if isinstance(raw, str) else raw
        return _table([(part, origin) for part in parts], errors)
    table = tables.get(path, Table(path, ConfigError(path, "is not allowed here, only in a jail file")))
    if isinstance(table.data, JailsshError):
        hint = table.data.hint or "the file must belong to root; or write the lines into the jail file"
        errors.append(ConfigError(origin, f"{table.data.what}: {table.data.why}", hint=hint))
        return ()
    try:
        text = table.data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = table.data.count(b"\n", 0, error.start) + 1
        errors.append(ConfigError(f"{table.file}:{line}", "is not UTF-8 text", hint=f"the file is named at {origin}"))
        return ()
    return _table(((line, f"{table.file}:{number}") for number, line in enumerate(text.split("\n"), 1)), errors)


def covers(wide: str, narrow: str) -> bool:
    """True if every path that fits the pattern ``narrow`` also fits ``wide``, both absolute or both relative."""
    deep = wide.endswith("/**") or wide == "**"
    wanted, given = wide.split("/")[: -1 if deep else None], narrow.split("/")
    if len(given) <= len(wanted) if deep else len(given) != len(wanted) or given[-1] == "**":
        return False
    # Between a pattern's own texts a "*" of the narrow one is as good as any other character.
    return all(a == b or ("*" in a and _shape(a).fullmatch(b)) for a, b in zip(wanted, given, strict=False))


@lru_cache(maxsize=1 << 13)
def _shape(part: str) -> re.Pattern[str]:
    """Return what fits a component with wildcards."""
    return re.compile(".*".join(map(re.escape, part.split("*"))), re.DOTALL)


def _table(lines: Iterable[tuple[str, str]], errors: list[JailsshError]) -> tuple[RightsLine, ...]:
    found: list[RightsLine] = []
    for text, origin in lines:
        words = list(_words(text))
        if not words:
            continue
        why, hint = _fault(words)
        if why:
            errors.append(ConfigError(origin, why, hint=hint))
        else:
            found.append(RightsLine(" ".join(words), origin))
    return tuple(found)


def _words(text: str) -> Iterator[str]:
    """Yield the words of a line up to a comment."""
    for word in text.split():
        if word.startswith("#"):
            return
        yield word


def _fault(words: list[str]) -> tuple[str, str]:
    """Return what is wrong with a line and a hint, or two empty texts."""
    right = words[0]
    if right not in _WORDS:
        close = get_close_matches(right, (*RIGHTS, *REF_RIGHTS), 1)
        return (
            f"{right!r} is not a right",
            f"did you mean {close[0]!r}?" if close else f"one of: {', '.join(RIGHTS)}; {EXAMPLE}",
        )
    if len(words) < 3:
        missing = "does not name a key or account" if len(words) == 2 else "does not name a repository"
        return f"{' '.join(words)!r} {missing}", f"{EXAMPLE}; @all means everybody"
    of_ref = words[2].startswith(REFS)
    if of_ref and right not in REF_RIGHTS:
        return f"{right!r} is a right to a repository, not to references", f"one of: {', '.join(REF_RIGHTS)}"
    if not of_ref and right not in RIGHTS:
        return f"{right!r} does not say which references, below refs/", REF_EXAMPLE
    if of_ref and len(words) < 4:
        return f"{' '.join(words)!r} does not name a key or account", f"{REF_EXAMPLE}; @all means everybody"
    for pattern in words[1 : 2 + of_ref]:
        if why := patterns.why_not(pattern):
            return f"{pattern!r} {why}", f"{patterns.HINT}; {EXAMPLE}"
    for who in words[2 + of_ref :]:
        if not is_who(who):
            return f"{who!r} is neither a name nor @group", f"separate names with blanks, {EXAMPLE}"
    return "", ""
