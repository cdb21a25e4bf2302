"""Which accounts have a way out of a network of their own: those of jails with ``network = outbound``.

An instance of one unit for each makes the network and runs pasta(1) in it (:mod:`jailssh.publish.outbound`).  Without
it, whatever the reason, an account has a network that nothing leads out of.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from jailssh.core.errors import HostError, JailsshError
from jailssh.host import accounts, process
from jailssh.host.accounts import UnansweredError
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration, JailsOf
from jailssh.publish import outbound
from jailssh.services import units

_UNIT = re.compile(r"jailssh-outbound@([0-9]{1,10})\.service\Z")
_GOOD = {"ActiveState": "active", "SubState": "running", "UnitFileState": "enabled"}
_ASKS, _STARTS = 20.0, 60.0
"""Seconds for a question, and for the start of units beside one for each of them."""


def problem() -> tuple[str, str] | None:
    """Return why no account has a way out on this host, and the cure."""
    if not process.has_systemd():
        return "needs systemd, a unit of which runs pasta", "network = loopback, or network = host"
    return outbound.missing()


def settle(
    layout: Layout,
    configuration: Configuration,
    *,
    act: bool,
    errors: list[JailsshError],
    among: Collection[str] | None = None,
    known: JailsOf | None = None,
) -> list[str]:
    """Give a way out to the accounts of jails with ``network = outbound``, and take those of others away.

    Call under the lock of the set-up.  Returns lines that say what changed, or would; what fails is added to
    ``errors``.  ``among``: these accounts alone; ``known``: as for :meth:`Configuration.jumping`.
    """
    found = map(accounts.find, configuration.outbound_names(among, known))
    names = {entry.uid: entry.name for entry in found if entry}
    lines = []
    for uid in sorted(_begun(layout).difference(names)):
        with suppress(UnansweredError):
            who = accounts.find_uid(uid)
            if among is not None and (who is None or who.name not in among):
                continue
            lines.append(f"{who.name if who else f'uid {uid}'}: no way out of its network any more")
            if act and (stays := _stop(layout, uid)):
                errors.append(stays)
    why, without = problem() if names else None, silent(layout, names)
    if why:
        errors += [HostError(f"account {names[uid]}", f"network = outbound: {why[0]}", hint=why[1]) for uid in without]
        return lines
    lines += [f"{names[uid]}: a way out of its network" for uid in without]
    if act and without:
        _start(without)
        for uid in silent(layout, without):
            hint = f"journalctl -u {outbound.unit(uid)}"
            errors.append(HostError(f"account {names[uid]}", "network = outbound: pasta does not run", hint=hint))
    return lines


def silent(layout: Layout, uids: Iterable[int]) -> list[int]:
    """Return those of ``uids`` whose unit does not run, is not started with the host, or runs for another network."""
    left = {outbound.unit(uid): uid for uid in sorted(uids)}
    if left and process.has_systemd():
        argv = ["systemctl", "show", "--property=Id,ActiveState,SubState,UnitFileState", *left]
        for block in process.run(argv, check=False, timeout=_STARTS).stdout.split("\n\n"):
            said = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            unit = said.pop("Id", "")
            if said == _GOOD and outbound.belongs(layout, left.get(unit, 0)):
                del left[unit]
    return list(left.values())


def closed(layout: Layout, configuration: Configuration) -> Iterator[tuple[str, str, str]]:
    """Yield the accounts whose jail has a way out that they do not have, why, and the cure."""
    names = {entry.uid: entry.name for entry in map(accounts.find, configuration.outbound_names()) if entry}
    why = problem() if names else None
    for uid in silent(layout, names):
        unit = outbound.unit(uid)
        yield names[uid], *(why or (f"{unit} does not run for its network", f"jailssh apply; journalctl -u {unit}"))


def unguarded(layout: Layout) -> str:
    """Return why filters of networks may not know this host's addresses, "" where they do or there are none."""
    if not outbound.made(layout) or not process.has_systemd():
        return ""
    done = process.run(["systemctl", "is-active", outbound.GUARD], check=False, timeout=_ASKS)
    return "" if done.code == 0 else f"does not run: {done.stdout.strip()}"


def close(layout: Layout, name: str, uids: Iterable[int]) -> None:
    """Take the ways out of an account away, by the uids that it has or had; what is another's by now stays."""
    for uid in _begun(layout).intersection(uids):
        if getattr(accounts.find_uid(uid), "name", name) == name and (stays := _stop(layout, uid)):
            raise stays


def _begun(layout: Layout) -> set[int]:
    """Return the uids with a unit, or with what is left of one."""
    return {*outbound.made(layout), *_enabled()}


def _enabled() -> Iterator[int]:
    """Yield the uids whose units systemd starts with the host."""
    for folder in (f"{each}/multi-user.target.wants" for each in units.FOLDERS):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if match := _UNIT.match(name):
                yield int(match[1])


def _start(uids: Iterable[int]) -> None:
    """Start the units of accounts, now and with the host; whether they run then is to be seen."""
    names = [outbound.unit(uid) for uid in uids]
    for verb in ("enable", "restart"):
        process.run(["systemctl", "--quiet", verb, *names], check=False, timeout=_STARTS + len(names))


def _stop(layout: Layout, uid: int) -> HostError | None:
    """Stop the unit of an account, and let go of its network."""
    unit = outbound.unit(uid)
    try:
        if process.has_systemd():
            process.run(["systemctl", "--quiet", "disable", "--now", unit], timeout=_STARTS)
            process.run(["systemctl", "--quiet", "reset-failed", unit], check=False, timeout=_ASKS)
    except HostError as error:
        return HostError(f"uid {uid}", f"the way out of its network: {error}", hint=f"systemctl disable --now {unit}")
    outbound.take_away(layout, uid)
    return None
