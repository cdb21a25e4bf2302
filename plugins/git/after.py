"""What runs after a push, by the administrator's setting: lines of repositories, references and a command."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from jailssh.core import patterns
from jailssh.core.errors import ConfigError
from jailssh.core.names import is_below, is_clean_absolute
from jailssh.core.webhook import PREFIX, is_address, name_of, what_follows
from jailssh.plugin.api import REFS, Jail, Value

_WHAT = "[git] after_push"
_EXAMPLE = "as in: team/* refs/heads/main /etc/jailssh/hooks/deploy"
_MOST_WORDS, _MOST_BYTES = 60, 60_000
_LONGEST = 3600
"""Seconds that a push can be held for."""
_HERE = ("localhost", "127.0.0.1", "::1")
_LONGEST_ADDRESS = 1000
_PLACES = ("/etc", "/usr")
"""Where programs are that nothing in a jail hides."""


@dataclass(frozen=True, kw_only=True)
class AfterPush:
    """A line: patterns of repositories, absolute or relative, and of references, and the words of the command.

    An address to tell of the push is the only word.
    """

    repository: str
    reference: str
    words: tuple[str, ...]


def lines_of(settings: Mapping[str, Value]) -> tuple[AfterPush, ...]:
    """Return the lines of the setting ``after_push``; raises :class:`ConfigError` for what can be none."""
    texts = settings["after_push"] if isinstance(settings["after_push"], tuple) else ()
    lines = tuple(_line(text) for text in texts)
    if any(is_address(line.words[0]) for line in lines) and not settings["webhook_secret"]:
        why = "is missing: what is sent to addresses is signed with a key"
        hint = "as in: webhook_secret = /etc/jailssh/webhook.secret, a file that root alone can read"
        raise ConfigError("[git] webhook_secret", why, hint=hint)
    return lines


def _line(text: str) -> AfterPush:
    words = what_follows(text)
    if not words:
        raise ConfigError(_WHAT, f"{text!r} is not a repository, a reference and a command", hint=_EXAMPLE)
    repository, reference = text.split()[:2]
    for pattern in (repository, reference):
        if why := patterns.why_not(pattern):
            raise ConfigError(_WHAT, f"{pattern!r} {why}", hint=patterns.HINT)
    if not reference.startswith(REFS):
        raise ConfigError(_WHAT, f"{reference!r} does not say which references, below {REFS}", hint=_EXAMPLE)
    if is_address(words[0]):
        _judge_address(words)
    elif words[0].startswith("/"):
        if not is_clean_absolute(words[0]) or not any(is_below(words[0], place) for place in _PLACES):
            raise ConfigError(_WHAT, f"{words[0]} is not a file below {' or '.join(_PLACES)}", hint=_EXAMPLE)
    elif "/" in words[0]:
        raise ConfigError(_WHAT, f"{words[0]} is neither a name nor an absolute path", hint=_EXAMPLE)
    if len(words) > _MOST_WORDS:
        raise ConfigError(_WHAT, f"{words[0]} has more than {_MOST_WORDS} words", hint="put them into a script")
    return AfterPush(repository=repository, reference=reference, words=tuple(words))


def _judge_address(words: list[str]) -> None:
    address = words[0]
    try:
        url = urllib.parse.urlsplit(address)
        host, fine = url.hostname or "", url.port != 0 and address.isascii() and address.isprintable()
    except ValueError:
        host, fine = "", False
    if not host or not fine or "@" in url.netloc or url.fragment or len(address) > _LONGEST_ADDRESS:
        raise ConfigError(_WHAT, f"{address!r} is not an address", hint="as in: https://ci.example.org/push")
    if url.scheme == "http" and host not in _HERE:
        raise ConfigError(_WHAT, f"{address}: others could read what is sent there", hint="use https://")
    if len(words) > 1:
        raise ConfigError(_WHAT, f"{words[1]!r} follows an address", hint="separate lines with commas")


def programs_of(settings: Mapping[str, Value]) -> tuple[str, ...]:
    """Return the programs that run, by name or path."""
    return tuple(line.words[0] for line in lines_of(settings) if not is_address(line.words[0]))


def _command(line: AfterPush, jail: Jail) -> str:
    """Return the first word as the plan has it; raises where this host has no program of that name."""
    name = line.words[0]
    if is_address(name):
        return PREFIX + name_of(name)
    path = name if name.startswith("/") else jail.find_program(name)
    if path is None:
        raise ConfigError(_WHAT, f"{name} was not found on this host", hint="name it by its path, or install it")
    return path


def variables(settings: Mapping[str, Value], base: str, jail: Jail) -> tuple[tuple[str, str], ...]:
    """Return what the hook knows the lines by (jailssh/refs/after.h); relative patterns begin at ``base``."""
    lines = lines_of(settings)
    if not lines:
        return ()
    seconds = settings["after_push_seconds"]
    if not isinstance(seconds, int) or not 0 < seconds <= _LONGEST:
        raise ConfigError(f"{_WHAT}_seconds", f"{seconds} is not a number of seconds from 1 to {_LONGEST}")
    text = "\n".join(
        " ".join((_absolute(line.repository, base), line.reference, _command(line, jail), *line.words[1:]))
        for line in lines
    )
    if len(text.encode()) > _MOST_BYTES:
        raise ConfigError(_WHAT, f"{len(lines)} lines are too many", hint="use patterns, as in: team/* refs/heads/**")
    return (("JAILSSH_AFTER", text), ("JAILSSH_AFTER_SECONDS", str(seconds)))


def _absolute(pattern: str, base: str) -> str:
    if pattern == "**":
        return "/**"
    return pattern if pattern.startswith("/") else f"{base}/{pattern}"
