"""From where sshd has to be asked: connections that the Match lines of its configuration can tell apart.

Addresses are divided at the borders of all networks that are named, so no part of one is left out.  For patterns there
are examples; a line that none of them fits is told (:func:`unasked`).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice, product

from jailssh.services.sshd_matches import BY_CONNECTION, MatchLine, fits

DEFAULT = "host=localhost,addr=127.0.0.1"
OUTSIDE = "host=host.example,addr=192.0.2.1"
"""A connection from elsewhere (an address for documentation, RFC 5737)."""
MOST = 128
"""So many connections are asked about."""
_TRIED = 1 << 14
_ADDRESSES = ("address", "localaddress")
_OUTSIDE = {"host": "host.example", "address": "192.0.2.1"}
_DEFAULT = {"host": "localhost", "address": "127.0.0.1"}
_PORT = {"localport": "22"}
"""What :func:`jailssh.services.sshd.effective` adds where a connection names none."""
_OTHER_PORT = "1"


def connections(found: Iterable[MatchLine]) -> list[str]:
    """Return the connections to ask about: the usual one, one from elsewhere, and one for each other case."""
    return [_written(each) for each in islice(_cases(list(found)), MOST)]


def unasked(found: Iterable[MatchLine]) -> list[str]:
    """Return what :func:`connections` has no example for, in words that begin with the place of the line."""
    lines = list(found)
    told = []
    for line in lines:
        for criterion, patterns in line.criteria:
            if criterion in BY_CONNECTION and not _is_met(criterion, patterns, lines):
                told.append(f"{line.where}: no connection is known that fits {criterion} {patterns}")
    if len(list(islice(_cases(lines), MOST + 1))) > MOST:
        told.append(f"{lines[0].where}: the Match lines tell more than {MOST} connections apart")
    return list(dict.fromkeys(told))


def _cases(lines: Sequence[MatchLine]) -> Iterator[dict[str, str]]:
    """Give a connection for each case: two that fit the same criteria are one."""
    criteria = list(dict.fromkeys(each for line in lines for each in line.criteria if each[0] in BY_CONNECTION))
    seen = set()

    def case(connection: dict[str, str]) -> tuple[bool, ...]:
        whole = {**_PORT, **connection}
        return tuple(_fits(criterion, patterns, whole.get(criterion, "")) for criterion, patterns in criteria)

    yield _DEFAULT
    yield _OUTSIDE
    seen |= {case(_DEFAULT), case(_OUTSIDE)}
    sides = [[(name, value) for value in _different(name, criteria)] for name in BY_CONNECTION]
    for chosen in islice(product(*sides), _TRIED):
        connection = {name: value for name, value in chosen if value}
        if (told := case(connection)) not in seen:
            seen.add(told)
            yield connection


def _different(name: str, criteria: Sequence[tuple[str, str]]) -> list[str]:
    """Return values of one side of a connection, one for each set of criteria that it fits; the usual one first."""
    mine = [patterns for criterion, patterns in criteria if criterion == name]
    values = [_OUTSIDE.get(name, ""), *_candidates(name, mine)]
    found: dict[tuple[bool, ...], str] = {}
    for value in values:
        found.setdefault(tuple(_fits(name, patterns, value or _PORT.get(name, "")) for patterns in mine), value)
    return list(found.values())


def _candidates(criterion: str, lists: Iterable[str]) -> Iterator[str]:
    patterns = list(dict.fromkeys(word.removeprefix("!") for each in lists for word in each.split(",")))
    for pattern in patterns:
        yield from _values(criterion, pattern)
    if patterns and criterion in _PORT:
        yield _OTHER_PORT
    if criterion in _ADDRESSES:
        for pattern in patterns:
            yield from _borders(pattern)


def _values(criterion: str, pattern: str) -> Iterator[str]:
    """Give values that fit a pattern, few but far from each other."""
    if criterion not in _ADDRESSES:
        pattern = pattern.lower() if criterion == "host" else pattern
        yield from dict.fromkeys(pattern.replace("*", letter).replace("?", letter) for letter in "xyz")
        return
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


def _borders(pattern: str) -> Iterator[str]:
    """Give the first address of a network and the first behind it: between two such nothing changes."""
    with suppress(ValueError):
        network = ipaddress.ip_network(pattern, strict=False)
        yield str(network.network_address)
        with suppress(ipaddress.AddressValueError):
            yield str(network.broadcast_address + 1)


def _is_met(criterion: str, patterns: str, lines: Sequence[MatchLine]) -> bool:
    """True if some example fits, or none can: where all are networks the examples are all that there is."""
    wanted = [word for word in patterns.split(",") if not word.startswith("!")]
    everywhere = [each for line in lines for name, each in line.criteria if name == criterion]
    values = [_OUTSIDE.get(criterion, ""), _DEFAULT.get(criterion, ""), *_candidates(criterion, everywhere)]
    if any(value and _fits(criterion, patterns, value) for value in values):
        return True
    return not wanted or (criterion in _ADDRESSES and all(map(_is_network, patterns.replace("!", "").split(","))))


def _fits(criterion: str, patterns: str, value: str) -> bool:
    """True if a value fits the list, as sshd sees it (match_list, addr_match_list); what is not there does not."""
    if not value:
        return False
    if criterion == "host":
        return fits(patterns.lower(), [value])
    if criterion not in _ADDRESSES:
        return fits(patterns, [value])
    fitting = False
    for word in patterns.split(","):
        if _includes(word.removeprefix("!"), value):
            if word.startswith("!"):
                return False
            fitting = True
    return fitting


def _includes(pattern: str, value: str) -> bool:
    with suppress(ValueError):
        return ipaddress.ip_address(value) in ipaddress.ip_network(pattern, strict=False)
    return fits(pattern, [value])


def _is_network(pattern: str) -> bool:
    try:
        ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _written(connection: dict[str, str]) -> str:
    """Return a connection as ``-C`` of sshd(8) has it."""
    return ",".join(f"{word}={connection[name]}" for name, word in BY_CONNECTION.items() if name in connection)
