"""Settings of a system, changed in its file and, where it runs, at once: both or neither."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import fields

from jailssh.config.files import edited
from jailssh.config.settings import SettingKind
from jailssh.core.errors import HostError, JailsshError, UsageError
from jailssh.entering import kept
from jailssh.entering.kept import Kept
from jailssh.files import fs
from jailssh.host import install, process
from jailssh.host.paths import Layout
from jailssh.systems import create, groups, network, running, settings, starting, units
from jailssh.systems.settings import LIMITS, ROWS, System

AT_ONCE = frozenset((*LIMITS, "hostname", "address", "resolver", "autostart", "depends", "stop_time"))
"""What can change while a system runs: the rest is built in when it is started."""
_LISTS = frozenset(row.name for row in ROWS if row.kind == SettingKind.WORDS)


def parse(words: Sequence[str]) -> dict[str, str | None]:
    """Return the settings of words KEY=VALUE; None for the default, which KEY= means.  :class:`UsageError`."""
    known = {row.name for row in ROWS}
    found: dict[str, str | None] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign or key not in known or key in found:
            why = "is given twice" if key in found else f"is no KEY=VALUE with a KEY of: {', '.join(sorted(known))}"
            raise UsageError("system set", f"{word[:60]!r} {why}")
        found[key] = (value.replace(",", " ") if key in _LISTS else value) or None
    return found


def change(layout: Layout, name: str, wanted: Mapping[str, str | None]) -> list[str]:
    """Change a system's settings and return the names of those that are others now; :class:`HostError`.

    Where a part of it cannot be, the file and the system are as they were.
    """
    path = settings.file_of(layout, name)
    with kept.locked(layout), ExitStack() as undo:
        before = install.read_optional(path)
        old = settings.parse(name, before or b"", path)
        text = edited(before or b"", wanted)
        new = settings.parse(name, text.encode(), path)
        changed = [each.name for each in fields(System) if getattr(old, each.name) != getattr(new, each.name)]
        now = running.held(layout, name)
        later = [key for key in changed if key not in AT_ONCE]
        if now is not None and later:
            raise HostError(
                ", ".join(later), f"cannot change while the system {name} runs", hint=f"jailssh system stop {name}"
            )
        starting.order([name], lambda each: new.depends if each == name else starting.depends_of(layout, each))
        mark = f"{create.folder_of(layout, name)}/{create.CHANGING}"
        again = now is not None and os.path.lexists(mark)
        if now is not None:
            if not again:
                undo.callback(fs.remove_file, mark)
            fs.atomic_write(mark, b"", 0o600)
        undo.callback(_restore, path, before)
        fs.ensure_dir(layout.systems_config, 0o755)
        fs.atomic_write(path, text.encode(), 0o644)
        _apply(layout, old, new, now, undo, again=again)
        undo.pop_all()
        if now is not None:
            fs.remove_file(mark)
    return changed


def is_interrupted(layout: Layout, name: str) -> bool:
    """True for a system that runs, and whose settings were changed by what was killed; the next change completes it."""
    mark = f"{create.folder_of(layout, name)}/{create.CHANGING}"
    if not os.path.lexists(mark):
        return False
    with kept.locked(layout):  # who is about it has this
        return os.path.lexists(mark)


def _restore(path: str, before: bytes | None) -> None:
    if before is None:
        fs.remove_file(path)
    else:
        fs.atomic_write(path, before, 0o644)


def _apply(layout: Layout, old: System, new: System, now: Kept | None, undo: ExitStack, *, again: bool) -> None:
    """Do what follows from the difference; what has been done is undone by ``undo`` where a later step fails.

    ``again``: what the system has is not known: a change was interrupted, and all of it is done again.
    """

    def step(do: Callable[[System], None]) -> None:
        undo.callback(_quietly, do, old)
        do(new)

    if units.are_used():
        step(units.enable)
    if now is None:
        return
    if again or any(old.limit(name) != new.limit(name) for name in LIMITS):
        step(lambda system: _hold(system, now))
    if again or old.hostname != new.hostname:
        step(lambda system: _name(system, now))
    if again or (old.hostname, old.resolver) != (new.hostname, new.resolver):
        step(lambda system: running.write_names(layout, system))
    if again:
        before = {*old.address, *new.address, *now.facts.get("address", "").split()}
        with kept.space(now, "net") as net:
            network.repair(tuple(before), new, net, now.id)
    elif old.address != new.address:
        has = tuple(now.facts.get("address", "").split())
        step(lambda system: _address(has if system is new else new.address, system, now))
    facts = {"hostname": new.hostname, "address": " ".join(new.address)}
    kept.change(layout, now, facts)


def _quietly(do: Callable[[System], None], system: System) -> None:
    with suppress(JailsshError):  # what has failed before it is what is told
        do(system)


def _hold(system: System, now: Kept) -> None:
    if not (units.are_used() and units.is_active(system.name)):
        groups.hold(system)
        return
    units.hold(system)
    groups.hold_in_unit(system, running.groups_of(now))


def _name(system: System, now: Kept) -> None:
    with kept.space(now, "uts") as uts:
        process.run(["nsenter", f"--uts={uts}", "hostname", system.hostname], timeout=10)


def _address(before: Sequence[str], system: System, now: Kept) -> None:
    with kept.space(now, "net") as net:
        network.change(before, system, net, now.id)
