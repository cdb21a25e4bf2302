"""Interrupted renames, which commands about either name settle before they look at anything."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from jailssh.change import transaction
from jailssh.change.transaction import Journal
from jailssh.change.undo import Operation
from jailssh.core.errors import JailsshError
from jailssh.files import narrow
from jailssh.host.paths import Layout

_SUBJECT = "rename-"
_SECONDS = 2.0


def rename_subject(old: str) -> str:
    """Return the name of the journal of a rename of ``old``."""
    return f"{_SUBJECT}{old}"


def renames(layout: Layout, names: Iterable[str] | None = None) -> list[str]:
    """Settle interrupted renames from or to these names, None for all; return lines.  Call under the lock."""
    wanted = None if names is None else set(names)
    lines = []
    for each in _left(layout):
        if wanted is None or wanted & _names(layout, each):
            lines += transaction.recover(layout, each)
    return lines


def _names(layout: Layout, subject: str) -> set[str]:
    found = {subject.removeprefix(_SUBJECT)}
    with suppress(JailsshError):  # One that is damaged stops nobody else.
        found |= {step.args[2] for step in Journal(layout, subject).steps if step.op == Operation.NAME}
    return found


def try_renames(layout: Layout, names: Iterable[str]) -> None:
    """Do so, where the lock can be had, for a command that takes access away whatever else is broken."""
    with suppress(JailsshError, OSError):
        if _left(layout):
            with narrow.lock(layout.lock, _SECONDS) as why:
                if not why:
                    renames(layout, names)


def _left(layout: Layout) -> list[str]:
    return [each for each in transaction.subjects(layout) if each.startswith(_SUBJECT)]
