"""Directories that a plugin lets an account read or write: from the settings to mounts.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jailssh.core.errors import ConfigError
from jailssh.core.names import is_below, is_clean_absolute
from jailssh.plugin.api import Account, Bind, Value


def expand(text: str, account: Account, what: str) -> str:
    """Return the absolute path that ``text`` (``/…``, ``~`` or ``~/…``) means for ``account``.

    ``what`` names the setting in the :class:`ConfigError` for anything else.
    """
    path = text
    if text in ("~", "~/"):
        path = account.home
    elif text.startswith("~/"):
        path = account.home.rstrip("/") + text[1:]
    if len(path) > 1:
        path = path.removesuffix("/")
    if not is_clean_absolute(path):
        raise ConfigError(what, f"{text!r} is not a path", hint="use an absolute path or ~/…, without '..' and '//'")
    return path


def paths(settings: Mapping[str, Value], name: str, account: Account, plugin: str) -> tuple[str, ...]:
    """Return the setting ``name`` of kind ``paths``, expanded for ``account``, without repetitions, in its order."""
    value = settings[name]
    texts = value if isinstance(value, tuple) else ()
    return tuple(dict.fromkeys(expand(text, account, f"[{plugin}] {name}") for text in texts))


def covered(path: str, roots: Iterable[str]) -> bool:
    """True if ``path`` is one of ``roots`` or below one."""
    return any(is_below(path, root) for root in roots)


@dataclass(frozen=True)
class Mounts:
    """What the jail must show: how the home (``rw``, ``ro``, ``none``) and which directories in it and outside.

    ``accessible_directories`` is the same for a rule: the directories that its program can use, and which of them it
    can change.
    """

    home: str
    binds: tuple[Bind, ...]
    accessible_directories: tuple[tuple[str, bool], ...] = ()


def mounts(read: Iterable[str], write: Iterable[str], account: Account, plugin: str) -> Mounts:
    """Return the mounts for the readable and the writable roots: these and nothing above them.

    The home as a whole is shown only where it is a root itself.  A readable root below a writable one needs no mount
    of its own.
    """
    write = tuple(write)
    wanted = {path: covered(path, write) for path in (*write, *read)}
    for path in wanted:
        if path == "/" or (path != account.home and is_below(account.home, path)):
            raise ConfigError(f"[{plugin}] {path}", "contains the homes of accounts", hint="name a directory below it")
    places = sorted(
        path
        for path in wanted
        if not covered(path, [other for other in wanted if other != path and wanted[other] >= wanted[path]])
    )
    home = "none"
    if account.home in places:
        home = "rw" if wanted[account.home] else "ro"
    binds = tuple(Bind(path, writable=wanted[path]) for path in places if path != account.home)
    return Mounts(home, binds, tuple((path, wanted[path]) for path in places))
