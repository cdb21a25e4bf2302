"""The home of an account is brought to another place, and back; see :mod:`jailssh.files.moving` for how.

The inverse holds at any point: what was interrupted before the home arrived goes back, afterwards it is completed.
"""

from __future__ import annotations

from collections.abc import Callable

from jailssh.change import open_files
from jailssh.core.errors import DeniedError, HostError
from jailssh.core.names import pluralize
from jailssh.files import moving
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry
from jailssh.services import shadow


def check(entry: AccountEntry, target: str) -> None:
    """Raise unless the account's home can be brought to ``target`` now."""
    if not accounts.is_local(entry.name):
        why = "comes from a directory service, which alone can say that its home is elsewhere"
        raise HostError(f"account {entry.name}", why, hint="leave --home-move out")
    moving.check(entry.home, target, entry.uid)
    check_idle(entry, entry.home)


def check_idle(entry: AccountEntry, path: str) -> None:
    """Raise where a process of the account runs, or any process works below ``path``: what it writes would be lost."""
    if running := {*accounts.processes_of(entry.uid), *open_files.processes_in(path)}:
        count = pluralize(len(running), "process", "es")
        hint = f"ps -o pid,user,args {' '.join(map(str, sorted(running)[:10]))}"
        raise DeniedError(f"home {entry.home} of {entry.name}", f"is in use by {count}", hint=hint)


def forward(entry: AccountEntry, target: str, heed: Callable[[], object] = moving.nothing) -> list[str]:
    """Bring the home to ``target``; return notes.  ``heed`` may raise; see :func:`jailssh.files.moving.bring`."""
    return _bring(entry, entry.home, target, heed)


def back(entry: AccountEntry, source: str, target: str) -> None:
    """Have the home at ``source`` that was or was to be brought to ``target``, unless others have changed that."""
    if entry.home in (source, target) and not moving.are_both(source, target):
        _bring(entry, target, source)


def complete(entry: AccountEntry, source: str, target: str) -> bool:
    """End what was interrupted; True if the home is at ``target`` now, False if at ``source``."""
    if moving.has_arrived(source, target):
        _bring(entry, source, target)
        return True
    back(entry, source, target)
    return False


def _bring(entry: AccountEntry, source: str, target: str, heed: Callable[[], object] = moving.nothing) -> list[str]:
    def arrived() -> None:
        if accounts.get(entry.name).home != target:
            shadow.set_home(entry.name, target)

    return moving.bring(source, target, check_idle=lambda path: check_idle(entry, path), arrived=arrived, heed=heed)
