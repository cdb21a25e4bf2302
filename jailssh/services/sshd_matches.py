"""The Match lines of sshd's configuration: which accounts and connections they can tell apart (sshd_config(5)).

sshd is asked what holds; this only decides for whom and from where it is asked.  So a line that is not understood
makes every account a case of its own, never the other way round.
"""

from __future__ import annotations

import glob
import ipaddress
import os
import re
import shlex
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import cache

from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.services import sshd

_DEPTH = 16
_LINE = re.compile(r"\s*\"?(include|match)\"?(?:\s+|\s*=\s*)(.*)", re.IGNORECASE)
_DOUBTFUL = re.compile(r"[\\']|\S#")
"""What shells and versions of sshd take in different ways: backslashes, single quotes, # within a word."""
_BY_CONNECTION = {
    "host": "host",
    "address": "addr",
    "localaddress": "laddr",
    "localport": "lport",
    "rdomain": "rdomain",
}
DEFAULT = "host=localhost,addr=127.0.0.1"
OUTSIDE = "host=host.example,addr=192.0.2.1"
"""A connection from elsewhere (an address for documentation, RFC 5737)."""


@dataclass(frozen=True)
class MatchLine:
    """One Match: its criteria in lower case with their patterns; ``clear`` is False where it was not understood."""

    where: str
    text: str
    criteria: tuple[tuple[str, str], ...]
    clear: bool = True


def lines(layout: Layout) -> list[MatchLine]:
    """Return all Match lines of the main file and of what it includes."""
    found: list[MatchLine] = []
    _read(sshd.main_config(layout), os.path.dirname(sshd.main_config(layout)), found, 0)
    return found


def files(layout: Layout) -> list[str]:
    """Return the files that sshd's configuration consists of."""
    found: list[str] = []
    _read(sshd.main_config(layout), os.path.dirname(sshd.main_config(layout)), [], 0, found)
    return found


def _read(path: str, folder: str, found: list[MatchLine], depth: int, seen: list[str] | None = None) -> None:
    if seen is not None:
        seen.append(path)
    text = fs.read_trusted(path, sshd.LIMIT).decode("utf-8", "surrogateescape")
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
        elif name in ("user", "group", *_BY_CONNECTION) and (equals or rest):
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
                case.append(_fits(patterns, [name]))
            elif criterion == "group":
                case.append(_fits(patterns, sorted(groups)))
        if not line.clear:
            case.append(name)
    return tuple(case)


def _fits(patterns: str, names: Iterable[str]) -> bool:
    """True if one of ``names`` fits the list and none fits a negated pattern of it."""
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


def connections(found: Iterable[MatchLine]) -> list[str]:
    """Return the connections to ask about: the usual one, one from elsewhere, and one that fits each line."""
    wanted = dict.fromkeys((DEFAULT, OUTSIDE))
    for line in found:
        parts = {"host": "host.example", "addr": "192.0.2.1"}
        changed = False
        for criterion, patterns in line.criteria:
            if criterion in _BY_CONNECTION and (value := _example(criterion, patterns)):
                parts[_BY_CONNECTION[criterion]] = value
                changed = True
        if changed:
            wanted[",".join(f"{key}={value}" for key, value in parts.items())] = None
    return list(wanted)


def _example(criterion: str, patterns: str) -> str:
    """Return a value that fits one of the patterns and none that is negated, "" where there is none to be found."""
    barred = [pattern[1:] for pattern in patterns.split(",") if pattern.startswith("!")]
    for pattern in patterns.split(","):
        if pattern.startswith("!"):
            continue
        for value in _values(criterion, pattern):
            if not any(_includes(criterion, each, value) for each in barred):
                return value
    return ""


def _values(criterion: str, pattern: str) -> Iterator[str]:
    """Give values that fit a pattern, few but far from each other."""
    if criterion in ("address", "localaddress"):
        with suppress(ValueError):
            network = ipaddress.ip_network(pattern, strict=False)
            count = network.num_addresses
            yield from (str(network[at]) for at in dict.fromkeys((min(1, count - 1), count // 2, max(0, count - 2))))
            return
        for digit in "123":
            # A star stands for dots and colons too: 192.168.* is a network of four numbers.
            text = pattern.replace("*", digit).replace("?", digit)
            if ":" in pattern:
                text = text if "::" in text or text.count(":") == 7 else f"{text}::{digit}"
            else:
                text = ".".join([*text.split("."), *[digit] * (3 - text.count("."))])
            if _is_address(text):
                yield text
        return
    yield from (pattern.replace("*", letter).replace("?", letter) for letter in "xyz")


def _includes(criterion: str, pattern: str, value: str) -> bool:
    with suppress(ValueError):
        if criterion in ("address", "localaddress"):
            return ipaddress.ip_address(value) in ipaddress.ip_network(pattern, strict=False)
    return _one(pattern, value)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
