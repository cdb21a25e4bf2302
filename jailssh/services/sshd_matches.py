"""The Match lines of sshd's configuration: which accounts and connections they can tell apart (sshd_config(5)).

sshd is asked what holds; this only decides for whom and from where it is asked.  So a line that is not understood
makes every account a case of its own, never the other way round.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import cache

from jailssh.host.paths import Layout
from jailssh.services import sshd

_DEPTH = 16
_LINE = re.compile(r"\s*\"?(include|match)\"?(?:\s+|\s*=\s*)(.*)", re.IGNORECASE)
_DOUBTFUL = re.compile(r"[\\']|\S#")
"""What shells and versions of sshd take in different ways: backslashes, single quotes, # within a word."""
BY_CONNECTION = {
    "host": "host",
    "address": "addr",
    "localaddress": "laddr",
    "localport": "lport",
    "rdomain": "rdomain",
}
"""The criteria that are about a connection, each with its word in ``-C`` of sshd(8)."""


@dataclass(frozen=True)
class MatchLine:
    """One Match: its criteria in lower case with their patterns; ``clear`` is False where it was not understood."""

    where: str
    text: str
    criteria: tuple[tuple[str, str], ...]
    clear: bool = True


def lines(layout: Layout) -> list[MatchLine]:
    """Return all Match lines of the main file and of what it includes."""
    return lines_of(sshd.main_config(layout), layout)


def lines_of(path: str, layout: Layout) -> list[MatchLine]:
    """Return the same of another main file: relative names in it are below ``/etc/ssh`` too."""
    found: list[MatchLine] = []
    _read(path, os.path.dirname(sshd.main_config(layout)), found, 0)
    return found


def files(layout: Layout) -> list[str]:
    """Return the files that sshd's configuration consists of."""
    found: list[str] = []
    _read(sshd.main_config(layout), os.path.dirname(sshd.main_config(layout)), [], 0, found)
    return found


def all_lines(layout: Layout) -> list[tuple[str, int, str]]:
    """Return the lines of the configuration as (file, number from 1, text), each Include followed by what it reads."""
    found: list[tuple[str, int, str]] = []
    _read_all(sshd.main_config(layout), os.path.dirname(sshd.main_config(layout)), found, 0)
    return found


def _read_all(path: str, folder: str, found: list[tuple[str, int, str]], depth: int) -> None:
    text = fs.read_trusted(path, sshd.LIMIT).decode("utf-8", "surrogateescape")
    for number, line in enumerate(text.splitlines(), 1):
        found.append((path, number, line))
        match = _LINE.match(line)
        if match is not None and match[1].lower() == "include" and depth < _DEPTH:
            for each in _included(match[2], folder):
                _read_all(each, folder, found, depth + 1)


def _included(text: str, folder: str) -> Iterator[str]:
    with suppress(ValueError):
        for word in shlex.split(text, comments=True):
            pattern = word if word.startswith("/") else f"{folder}/{word}"
            yield from sorted(glob.glob(pattern))


def _read(path: str, folder: str, found: list[MatchLine], depth: int, seen: list[str] | None = None) -> None:
    if seen is not None:
        seen.append(path)
    text = sshd.read_part(path)
    for number, line in enumerate(text.splitlines(), 1):
        match = _LINE.match(line)
        if match is None:
            continue
        try:
            words = shlex.split(match[2], comments=True)
        except ValueError:
            words = []
        if match[1].lower() == "match":
            read = parsed(f"{path}:{number}", line.strip(), words)
            found.append(replace(read, clear=read.clear and not _DOUBTFUL.search(match[2])))
        elif depth < _DEPTH:
            for word in words:
                pattern = word if word.startswith("/") else f"{folder}/{word}"
                for each in sorted(glob.glob(pattern)):
                    _read(each, folder, found, depth + 1, seen)


def parsed(where: str, text: str, words: list[str]) -> MatchLine:
    """Return a Match line from the words behind ``Match``."""
    criteria = []
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        name = name.lower()
        if name in ("all", "canonical", "final", "invalid-user") and not equals:
            criteria.append((name, ""))
        elif name in ("user", "group", *BY_CONNECTION) and (equals or rest):
            criteria.append((name, value if equals else rest.pop(0)))
        else:
            return MatchLine(where, text, tuple(criteria), clear=False)
    return MatchLine(where, text, tuple(criteria), clear=bool(criteria))


def case_of(name: str, groups: Collection[str], found: Iterable[MatchLine]) -> tuple[object, ...]:
    """Return what the lines say of an account: two with the same answer are one case for sshd."""
    case: list[object] = []
    for line in found:
        for criterion, patterns in line.criteria:
            if criterion == "user":
                case.append(fits(patterns, [name]))
            elif criterion == "group":
                case.append(fits(patterns, sorted(groups)))
        if not line.clear:
            case.append(name)
    return tuple(case)


def fits(patterns: str, names: Iterable[str]) -> bool:
    """True if one of ``names`` fits the list of patterns and none fits a negated pattern of it."""
    fitting = False
    for name in names:
        for pattern in patterns.split(","):
            if _one(pattern.removeprefix("!"), name):
                if pattern.startswith("!"):
                    return False
                fitting = True
    return fitting


def _one(pattern: str, name: str) -> bool:
    return _compiled(pattern).match(name) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # sshd knows * and ? alone; brackets stand for themselves.
    return re.compile(translate(pattern.replace("[", "[[]")))
