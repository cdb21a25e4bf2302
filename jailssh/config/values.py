"""Turn a setting's text into its value, by kind."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable

from jailssh.config import times
from jailssh.config.settings import SettingKind
from jailssh.core.names import is_clean_absolute, is_number
from jailssh.plugin.api import Option, Value
from jailssh.policy.value_class import choices

Raw = str | tuple[str, ...]
"""What the file says: one string, or several separated by commas."""

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,15})([KMGT]?)\Z")
_WORD = re.compile(r"[A-Za-z0-9_.,:+@%=/~-]+\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BOOL = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
UNSET = -1
"""The value of an empty ``count``, ``size?``, ``octal?``, ``most``, ``duration`` or ``rate``: no limit is set."""


def words_of(raw: Raw) -> tuple[str, ...]:
    """Return the words of a value, separated by commas or blanks, in the order written."""
    parts = (raw,) if isinstance(raw, str) else raw
    return tuple(word for part in parts for word in part.split())


def parse(kind: str, raw: Raw) -> Value:
    """Return the value; raises :class:`ValueError` with a reason that completes "key: …"."""
    if kind in _LISTS:
        return _LISTS[kind](raw)
    if not isinstance(raw, str):
        raise ValueError("contains a comma and is not in quotes")
    if listed := choices(kind):
        if raw not in listed:
            raise ValueError(f"{raw!r} is not one of: {', '.join(listed)}")
        return raw
    return _PARSERS[kind](raw)


def _addresses(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the networks in their shortest form, those within others and doubles left out."""
    four: list[ipaddress.IPv4Network] = []
    six: list[ipaddress.IPv6Network] = []
    for word in words:
        network = _network(word)
        if isinstance(network, ipaddress.IPv4Network):
            four.append(network)
        else:
            six.append(network)
    found = [*ipaddress.collapse_addresses(four), *ipaddress.collapse_addresses(six)]
    return tuple(str(network) for network in found)


def _network(word: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        network = ipaddress.ip_network(word)
    except ValueError as error:
        try:
            right = ipaddress.ip_network(word, strict=False)
        except ValueError:
            why = f"{word!r} is not an address or a network such as 192.0.2.0/24 or 2001:db8::/32"
            raise ValueError(why) from error
        why = f"{word!r} has bits outside of its network: write {right} or {word.partition('/')[0]}"
        raise ValueError(why) from error
    if "%" in word:
        raise ValueError(f"{word!r}: an interface name is not allowed")
    mapped = isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped
    if mapped and network.prefixlen >= 96:
        raise ValueError(f"{word!r} is an IPv4 network: write {mapped}/{network.prefixlen - 96}")
    return network


def _hours(raw: Raw) -> tuple[str, ...]:
    """Return one text that :func:`jailssh.config.times.hours` takes, or nothing."""
    text = " ".join(words_of(raw))
    if text:
        times.hours(text)
    return (text,) if text else ()


def _words(raw: Raw) -> tuple[str, ...]:
    words = words_of(raw)
    for word in words:
        _word(word)
    return words


def _names(words: tuple[str, ...]) -> tuple[str, ...]:
    for word in words:
        if not re.match(r"[A-Za-z_][A-Za-z0-9_]{0,63}\*?\Z", word):
            raise ValueError(f"{word!r} is not a variable name, or the start of one with * at the end")
    return words


def _paths(raw: Raw) -> tuple[str, ...]:
    parts = (raw,) if isinstance(raw, str) else raw
    paths = tuple(part.strip() for part in parts if part.strip())
    for path in paths:
        if re.search(r"\s[/~]", path):
            raise ValueError(f"{path!r}: separate several paths with commas")
    return tuple(_path(path) for path in paths)


def _path(text: str) -> str:
    """Accept a clean absolute path, ``~``, or ``~/…`` with or without a ``/`` at the end; empty means unset."""
    path = text.removesuffix("/") if len(text) > 1 else text
    plain = path[1:] if path.startswith("~/") else path
    if path not in ("", "~") and not is_clean_absolute(plain):
        raise ValueError(f"{text!r} is not a plain absolute path or ~/…")
    return path


def _texts(raw: Raw) -> tuple[str, ...]:
    return tuple(_text(part.strip()) for part in ((raw,) if isinstance(raw, str) else raw) if part.strip())


def _bool(text: str) -> bool:
    if text.lower() not in _BOOL:
        raise ValueError(f"{text!r} is not yes or no")
    return _BOOL[text.lower()]


def _word(text: str) -> str:
    if text and not _WORD.match(text):
        raise ValueError(f"{text!r} is not one plain word")
    return text


def _text(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("contains a control character")
    return text


def _int(text: str) -> int:
    if not re.match(r"-?[0-9]{1,10}\Z", text):
        raise ValueError(f"{text!r} is not a number")
    return int(text)


def _count(text: str) -> int:
    if text and not re.match(r"[0-9]{1,10}\Z", text):
        raise ValueError(f"{text!r} is not a number")
    return int(text) if text else UNSET


def _most(text: str) -> int:
    if text and (not re.match(r"[0-9]{1,6}\Z", text) or not int(text)):
        raise ValueError(f"{text!r} is not a number from 1 to 999999; empty means no limit")
    return int(text) if text else UNSET


def _bound(text: str) -> int:
    if text == "none":
        return UNSET
    if not re.match(r"[0-9]{1,6}\Z", text) or not int(text):
        raise ValueError(f"{text!r} is not a number from 1 to 999999, or none")
    return int(text)


def _weight(text: str) -> int:
    if text == "none":
        return UNSET
    if not re.match(r"[0-9]{1,5}\Z", text) or not 1 <= int(text) <= 10000:
        raise ValueError(f"{text!r} is not a number from 1 to 10000, or none")
    return int(text)


def _percent(text: str) -> int:
    if text == "none":
        return UNSET
    if not re.match(r"[0-9]{1,6}%\Z", text) or not int(text[:-1]):
        raise ValueError(f"{text!r} is not a percentage such as 150%, or none")
    return int(text[:-1])


def _memory(text: str) -> Value:
    """Return bytes, or the percentage as it is written."""
    if text == "none":
        return UNSET
    if text.endswith("%"):
        if not 1 <= _percent(text) <= 100:
            raise ValueError(f"{text!r} is more than 100%")
        return text
    try:
        size = _size(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a size such as 2G, a percentage, or none") from None
    if size < 16 << 20:
        raise ValueError(f"{text!r} is too small for a login; the minimum is 16M")
    return size


def _nice(text: str) -> int:
    if not re.match(r"1?[0-9]\Z", text):
        raise ValueError(f"{text!r} is not a number from 0 to 19")
    return int(text)


def _duration(text: str) -> int:
    return times.duration(text) if text else UNSET


def _moment(text: str) -> str:
    if text:
        times.moment(text)
    return text


def _rate(text: str) -> Value:
    """Return bytes per second, or the name of a class of the main file."""
    if not text:
        return UNSET
    if not is_number(text[0]):
        return _word(text)
    if not _size(text):
        raise ValueError(f"{text!r} allows no traffic; empty means no limit")
    return _size(text)


def _seconds(text: str) -> int:
    if not re.match(r"[0-9]{1,5}\Z", text) or int(text) == 0:
        raise ValueError(f"{text!r} is not a number of seconds from 1 to 99999")
    return int(text)


def _size(text: str) -> int:
    match = _SIZE.match(text)
    size = int(match[1]) * _UNITS[match[2]] if match else 0
    if not match or size >= 10**18:
        raise ValueError(f"{text!r} is not a size such as 512K, 64M or 2G")
    return size


def _optional_size(text: str) -> int:
    return _size(text) if text else UNSET


def _octal(text: str) -> int:
    if not re.match(r"[0-7]{1,4}\Z", text):
        raise ValueError(f"{text!r} is not an octal number such as 022")
    return int(text, 8)


_LISTS: dict[str, Callable[[Raw], Value]] = {
    SettingKind.WORDS: _words,
    SettingKind.NAMES: lambda raw: _names(words_of(raw)),
    SettingKind.PATHS: _paths,
    SettingKind.TEXTS: _texts,
    SettingKind.ADDRESSES: lambda raw: _addresses(words_of(raw)),
    SettingKind.HOURS: _hours,
}
"""Those that can hold several values."""

_PARSERS: dict[str, Callable[[str], Value]] = {
    SettingKind.BOOL: _bool,
    SettingKind.WORD: _word,
    SettingKind.TEXT: _text,
    SettingKind.PATH: _path,
    SettingKind.INT: _int,
    SettingKind.COUNT: _count,
    SettingKind.SECONDS: _seconds,
    SettingKind.SIZE: _size,
    SettingKind.OPTIONAL_SIZE: _optional_size,
    SettingKind.OCTAL: _octal,
    SettingKind.OPTIONAL_OCTAL: lambda text: _octal(text) if text else UNSET,
    SettingKind.MOST: _most,
    SettingKind.BOUND: _bound,
    SettingKind.WEIGHT: _weight,
    SettingKind.PERCENT: _percent,
    SettingKind.MEMORY: _memory,
    SettingKind.NICE: _nice,
    SettingKind.DURATION: _duration,
    SettingKind.MOMENT: _moment,
    SettingKind.RATE: _rate,
}


def defaults(options: Iterable[Option]) -> dict[str, Value]:
    """Return what a plugin is given where a jail sets nothing; its tables of rights are empty then."""
    return {each.name: () if each.kind == SettingKind.RIGHTS else parse(each.kind, each.default) for each in options}
