"""How systems are started and stopped: as units of systemd's where that runs, and first those that one depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from jailssh.core.errors import HostError, JailsshError, UsageError
from jailssh.entering.kept import Kept
from jailssh.host.paths import Layout
from jailssh.systems import create, running, settings, units
from jailssh.systems.settings import System

_USEC = 1_000_000


def order(names: Sequence[str], depends_of: Callable[[str], Sequence[str]]) -> list[str]:
    """Return ``names`` and all that they depend on, each behind what it depends on; :class:`HostError` for a circle."""
    found: list[str] = []

    def add(name: str, above: list[str]) -> None:
        if name in above:
            circle = [*above[above.index(name) :], name]
            why = " and ".join(f"{one} depends on {two}" for one, two in pairwise(circle))
            raise HostError(f"system {name}", f"cannot be started before itself: {why}")
        if name not in found:
            for each in depends_of(name):
                add(each, [*above, name])
            found.append(name)

    for name in names:
        add(name, [])
    return found


def depends_of(layout: Layout, name: str) -> tuple[str, ...]:
    """Return what a system depends on, by its file; :class:`HostError` for what is not there."""
    wanted = settings.read(layout, name).depends
    for each in wanted:
        if not create.exists(layout, each):
            raise HostError(f"system {name}", f"depends on the system {each}, which does not exist")
    return wanted


def automatic(layout: Layout) -> list[str]:
    """Return the systems that are to be started with the host, and do not run."""
    found = [name for name in create.names(layout) if _is_automatic(layout, name)]
    return [name for name in found if not running.runs(layout, name)]


def _is_automatic(layout: Layout, name: str) -> bool:
    try:
        return settings.read(layout, name).autostart
    except JailsshError:
        return True  # its start tells what is wrong in its file; the others are started


def start(layout: Layout, name: str) -> Kept:
    """Start a system, and before it those that it depends on and that do not run; it runs then.  :class:`HostError`."""
    try:
        for each in order([name], lambda each: depends_of(layout, each)):
            if each != name and running.held(layout, each) is None:
                _start_below(layout, each)
        return _start(layout, settings.read(layout, name))
    except JailsshError as error:
        if units.is_inside(name):
            units.tell(f"STATUS={error}")
        raise


def _start_below(layout: Layout, name: str) -> None:
    try:
        _start(layout, settings.read(layout, name))
    except HostError:
        if running.held(layout, name) is None:  # else another one that depends on it was faster
            raise


def _start(layout: Layout, system: System) -> Kept:
    if units.is_inside(system.name):
        now = running.start(layout, system, in_unit=True)
        units.tell(f"READY=1\nSTATUS=system {system.name}, number {now.id}\nMAINPID={running.watcher_of(now)}")
        return now
    if not units.are_used():
        return running.start(layout, system)
    # What is wrong is told here, in place of the unit's log.
    running.check(layout, system)
    units.enable(system)
    units.start(system.name)
    found = running.held(layout, system.name)
    if found is None:
        raise HostError(f"system {system.name}", "has ended", hint=f"jailssh system logs {system.name}")
    return found


def stop(layout: Layout, name: str) -> dict[str, bool]:
    """Stop a system, and before it those that depend on it and run, as :func:`jailssh.systems.running.stop` does.

    Returns by name whether each stopped by itself.  Where the file of one is wrong it is stopped by the defaults.
    """
    # One that has ended, or starts again, by itself takes nothing with it.
    first = _above(layout, name) if running.held(layout, name) is not None else []
    inside = units.is_inside(name)
    if inside:
        # Units of a circle would wait for each other until all are ended by force.
        first = [each for each in first if name not in _above(layout, each)]
        seconds = sum(_settings(layout, each).stop_time + running.LONGEST_END for each in (*first, name))
        units.tell(f"EXTEND_TIMEOUT_USEC={seconds * _USEC}")
    done: dict[str, bool] = {}
    failed: HostError | None = None
    for each in first:
        try:
            done[each] = _stop(layout, each)
        except HostError as error:
            if running.held(layout, each) is None:  # it has ended meanwhile
                continue
            if not inside:
                raise
            failed = error  # what is not asked to end now is ended by force, whatever is above it
    done[name] = _stop(layout, name)
    if failed:
        raise failed
    return done


def _above(layout: Layout, name: str) -> list[str]:
    """Return the systems that run and depend on one, each before what it depends on; files may have become circles."""
    names = [each for each in create.names(layout) if each != name and running.runs(layout, each)]
    depends = {each: _settings(layout, each).depends for each in names}
    seen: set[str] = set()
    found: list[str] = []

    def add(below: str) -> None:
        for each in names:
            if below in depends[each] and each not in seen:
                seen.add(each)
                add(each)
                found.append(each)

    add(name)
    return found


def _settings(layout: Layout, name: str) -> System:
    try:
        return settings.read(layout, name)
    except JailsshError:  # it was right when the system was started, and a start will tell
        return settings.parse(name, b"", "")


def _stop(layout: Layout, name: str) -> bool:
    system = _settings(layout, name)
    if units.is_inside(name):
        if running.held(layout, name) is None:  # it has switched itself off
            running.settle_alone(layout, name)
            return True
        by_itself = running.stop(layout, system)
        units.tell(f"STATUS={'stopped' if by_itself else units.BY_FORCE}")
        return by_itself
    if units.are_used() and units.is_active(name):
        return units.stop(name)
    return running.stop(layout, system)


def check_name(layout: Layout, name: str) -> str:
    """Return ``name`` if there is such a system; else :class:`UsageError`."""
    if not create.exists(layout, settings.check_name(name)):
        raise UsageError(f"system {name}", "does not exist", hint="jailssh system list")
    return name
