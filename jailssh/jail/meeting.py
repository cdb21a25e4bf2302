"""Plugins that meet in one jail: what the one believes or promises to keep, another one must not write.  Pure.

Each plugin holds its own word alone (a push changes no hooks, a drop box overwrites nothing), so every pair of a jail
is judged by what both say of the directories (:class:`jailssh.plugin.api.Reach`).  What cannot hold is refused before
anybody logs in, unless the administrator says ``shared_directories = yes``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations

from jailssh.config.jails import JailConfig, place_of
from jailssh.config.values import UNSET
from jailssh.core.closed import Forward, Shown, Word
from jailssh.core.errors import ConfigError, raise_all
from jailssh.core.names import is_below
from jailssh.plugin.api import Account, Bind, PluginResult, Reach
from jailssh.policy.rules import ANY


class Meeting(Word):
    """How two plugins get into each other's way: one trusts, or keeps, what the other may write."""

    ORDERS = "orders"
    KEPT = "kept"


@dataclass(frozen=True)
class Clash:
    """``plugin`` trusts or keeps ``directory``; ``other`` may write ``path`` in it."""

    kind: Meeting
    plugin: str
    other: str
    directory: str
    path: str

    def why(self) -> str:
        """Return the reason as a sentence."""
        if self.kind == Meeting.ORDERS:
            return (
                f"{self.plugin} reads hooks and settings from {self.directory}, and {self.other} can write to "
                f"{self.path}: it could run programs or lift the limits of {self.plugin}"
            )
        return f"{self.plugin} must not overwrite or remove anything in {self.path}, but {self.other} can"

    def hint(self) -> str:
        """Return the cure."""
        ways = f"give {self.other} a jail and an account of its own, or other directories"
        return f"{ways}, or read_only where it has that; to allow it, write shared_directories = yes into the jail file"


_OF_SESSIONS = ("max_sessions", "max_sessions_per_key", "max_duration", "idle_timeout", "bandwidth")


def refuse_sessions(config: JailConfig, results: Sequence[PluginResult]) -> None:
    """Raise for what a jail whose accounts have no session, but ports that sshd forwards, cannot also say."""
    if not any(result.ports for result in results):
        return
    plugin = next(name for name, result in zip(config.plugins, results, strict=True) if result.ports)
    top = {item.setting.name: item for item in config.items if not item.setting.section}
    errors = []
    if others := sorted(set(config.plugins) - {plugin}):
        why = f"plugin {plugin} is for accounts without a session, so {', '.join(others)} cannot be in one jail with it"
        errors.append(ConfigError(config.places[plugin], why, hint="two jails, each with an account of its own"))
    for name, wanted in (("groups", ()), ("enter", ()), ("forward", Forward.NO), ("linger", False)):
        if top[name].value != wanted:
            why = (
                f"{name} cannot be set beside plugin {plugin}: sshd forwards for accounts that are in the jail by name"
            )
            errors.append(ConfigError(top[name].origin, why, hint=f"remove {name}"))
    for name in _OF_SESSIONS:
        if name in config.access and config.access[name].value != UNSET:
            why = f"{name} has no effect beside plugin {plugin}: it is about sessions"
            errors.append(ConfigError(config.access[name].origin, why, hint=f"remove {name}"))
    raise_all(errors)


def refuse_clashes(config: JailConfig, results: Sequence[PluginResult], account: Account) -> None:
    """Raise for each pair of plugins that cannot both keep their word, unless the jail says that it is meant."""
    if config.shared_directories:
        return
    errors = [
        ConfigError(place_of(config, clash.plugin, clash.directory, account.home), clash.why(), hint=clash.hint())
        for clash in clashes(config.plugins, results, account)
    ]
    raise_all(errors)


def clashes(names: Sequence[str], results: Sequence[PluginResult], account: Account) -> tuple[Clash, ...]:
    """Return what cannot be in one jail, one of each kind for each pair; ``results`` are of the plugins ``names``."""
    place = partial(_place, [bind for result in results for bind in result.binds], account)
    writable = _outermost(place(path) for result in results for path in _shown_writable(result, account))
    has_shell = any(rule.interactive_login or ANY in rule.command_names for result in results for rule in result.rules)
    found: dict[tuple[Meeting, str, str], Clash] = {}
    for (name, result), (other, its) in permutations(zip(names, results, strict=True), 2):
        reach, theirs = _reach(result, account), _reach(its, account)
        changes = theirs.writes if theirs.changes is None else theirs.changes
        # Whoever has a shell runs what they like anyhow, but keeping is a promise to somebody else.
        trusts = () if has_shell else reach.trusts
        for kind, mine, written in ((Meeting.ORDERS, trusts, theirs.writes), (Meeting.KEPT, reach.keeps, changes)):
            for directory, path in _meet(map(place, mine), _within(map(place, written), writable)):
                found.setdefault((kind, name, other), Clash(kind, name, other, directory, path))
    return tuple(found.values())


def _place(binds: Sequence[Bind], account: Account, path: str) -> str:
    """Return which directory of the host ``path`` is where the jail shows some at other paths: two can be one there."""
    if not any(bind.source for bind in binds):
        return path
    around = max((bind for bind in binds if is_below(path, bind.path)), key=lambda bind: len(bind.path), default=None)
    return account.source_of(around) + path[len(around.path) :] if around else account.on_host(path)


def _reach(result: PluginResult, account: Account) -> Reach:
    return result.reach or Reach(writes=_shown_writable(result, account))


def _shown_writable(result: PluginResult, account: Account) -> tuple[str, ...]:
    home = (account.home,) if result.home == Shown.WRITABLE else ()
    return (*home, *(bind.path for bind in result.binds if bind.writable))


def _within(paths: Iterable[str], writable: Sequence[str]) -> tuple[str, ...]:
    """Return what of ``paths`` the jail shows writable; ``/`` is all of that."""
    return tuple(_deeper(path, root) for path in paths for root in writable if _overlap(path, root))


def _meet(mine: Iterable[str], written: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each of ``mine`` that something of ``written`` is in or around, with the place of both."""
    for directory in mine:
        for path in written:
            if _overlap(directory, path):
                yield directory, _deeper(directory, path)


def _overlap(one: str, two: str) -> bool:
    return is_below(one, two) or is_below(two, one)


def _deeper(one: str, two: str) -> str:
    return one if is_below(one, two) else two


def _outermost(paths: Iterable[str]) -> tuple[str, ...]:
    every = sorted(set(paths))
    return tuple(path for path in every if not any(path != top and is_below(path, top) for top in every))
