"""What a jail shows of the host: the directories of all plugins together, and the tops of the image above them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jailssh.core.closed import Shown
from jailssh.core.errors import ConfigError
from jailssh.core.home_readers import covers
from jailssh.core.names import JailPath, is_below, is_clean_absolute
from jailssh.plugin.api import Account, Bind, PluginResult

RESERVED = (
    "boot",
    "bin",
    "dev",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "proc",
    "root",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr",
)
"""First components where nothing of the host is ever shown: the image, or the jail itself, needs them."""


@dataclass(frozen=True)
class View:
    """What of the host is shown: the home's mode, other directories, and the tops that get a tmpfs."""

    home: Shown
    binds: tuple[Bind, ...]
    tops: tuple[JailPath, ...]


def tops_of(account: Account, results: Sequence[PluginResult]) -> tuple[JailPath, ...]:
    """Return the directories that the image must have as mount points for this account, as ``/home``."""
    return view_of(account, results).tops


def check_home(home: str) -> None:
    """Raise :class:`ConfigError` unless a directory at ``home`` can be shown in a jail."""
    if not is_clean_absolute(home) or home == "/":
        raise ConfigError(f"home {home!r}", "is not a plain absolute path")
    top = home.split("/")[1]
    if top in RESERVED:
        raise ConfigError(
            f"home {home!r}",
            f"is below /{top}, which belongs to the system",
            hint="move it, as in: usermod -m -d /home/NAME NAME",
        )


def view_of(account: Account, results: Sequence[PluginResult]) -> View:
    """Return what all ``results`` together show; raises :class:`ConfigError` for what a jail cannot show."""
    for path in {account.home, account.host_home or account.home}:
        check_home(path)
    home = _strongest(Shown(result.home) for result in results)
    merged: dict[str, Bind] = {}
    for bind in (bind for result in results for bind in result.binds):
        if bind.path == account.home:
            home = _strongest((home, mode_of(bind)))
            continue
        _check_bind(bind, account.home, account.host_home)
        before = merged.get(bind.path, Bind(bind.path, optional=True))
        merged[bind.path] = Bind(
            bind.path, before.writable or bind.writable, before.optional and bind.optional, before.source or bind.source
        )
    shown = [*merged.values()] + ([Bind(account.home, home == Shown.WRITABLE)] if home != Shown.NONE else [])
    binds = tuple(merged[path] for path in sorted(merged) if not _covered(merged[path], shown))
    tops = sorted({JailPath("/" + path.split("/")[1]) for path in (account.home, *(bind.path for bind in binds))})
    return View(home, binds, tuple(tops))


def _strongest(wishes: Iterable[Shown]) -> Shown:
    return max(wishes, key=[*Shown].index, default=Shown.NONE)


def mode_of(bind: Bind) -> Shown:
    """Return how a directory is shown."""
    return Shown.WRITABLE if bind.writable else Shown.READ_ONLY


def _check_bind(bind: Bind, home: str, host_home: str) -> None:
    if not is_clean_absolute(bind.path) or bind.path == "/":
        raise ConfigError(f"directory {bind.path!r}", "is not a plain absolute path")
    for path in (bind.path, bind.source):
        if path and path.split("/")[1] in RESERVED:
            raise ConfigError(f"directory {path}", "is a system directory, so a jail cannot show it")
    inside = bind.path[len(home) + 1 :].split("/")[0] if is_below(bind.path, home) else ""
    if inside in {name for name, _ in covers()}:
        why = f"is hidden from every session: programs of the host act on ~/{inside}"
        raise ConfigError(f"directory {bind.path}", why, hint="name another directory")
    if is_below(home, bind.path):
        raise ConfigError(f"directory {bind.path}", "contains the homes of accounts", hint="name a directory below it")
    # Root opens what lies outside of the home, so nothing of it may be a way through what the user can change.
    if (
        host_home
        and not bind.source
        and not is_below(bind.path, home)
        and (is_below(bind.path, host_home) or is_below(host_home, bind.path))
    ):
        raise ConfigError(
            f"directory {bind.path}", f"is the home on the host, which the jail shows at {home}", hint="write it with ~"
        )


def _covered(bind: Bind, others: Iterable[Bind]) -> bool:
    """True if another bind already shows this directory in the same way or stronger."""
    return any(
        other.path != bind.path and is_below(bind.path, other.path) and other.writable >= bind.writable
        for other in others
    )
