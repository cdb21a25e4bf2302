"""The Match lines of sshd's configuration: which accounts and connections they can tell apart (sshd_config(5)).

sshd is asked what holds; this only decides for whom and from where it is asked.  So a line that is not understood
makes every account a case of its own, never the other way round.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator
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
    found = []
    for file, number, line in _walk(path, os.path.dirname(sshd.main_config(layout)), 0):
        match = _LINE.match(line)
        if match is not None and match[1].lower() == "match":
            read = parsed(f"{file}:{number}", line.strip(), _words(match[2]))
            found.append(replace(read, clear=read.clear and not _DOUBTFUL.search(match[2])))
    return found


def files(layout: Layout) -> list[str]:
    """Return the files that sshd's configuration consists of."""
    main = sshd.main_config(layout)
    return [path for path, number, _ in _walk(main, os.path.dirname(main), 0) if number == 0]


def all_lines(layout: Layout) -> list[tuple[str, int, str]]:
    """Return the lines of the configuration as (file, number from 1, text), each Include followed by what it reads."""
    main = sshd.main_config(layout)
    return [row for row in _walk(main, os.path.dirname(main), 0) if row[1] > 0]


def _walk(path: str, folder: str, depth: int) -> Iterator[tuple[str, int, str]]:
    """Yield the lines of a file and of what it includes; before those of each file a line 0."""
    yield path, 0, ""
    for number, line in enumerate(sshd.read_part(path).splitlines(), 1):
        yield path, number, line
        match = _LINE.match(line)
        if match is None or match[1].lower() == "match" or depth >= _DEPTH:
            continue
        for word in _words(match[2]):
            pattern = word if word.startswith("/") else f"{folder}/{word}"
            for each in sorted(glob.glob(pattern)):
                yield from _walk(each, folder, depth + 1)


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:
        return []


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
