"""Set aside what an account has outside of its jail; each piece is noted in the undo journal first."""

from __future__ import annotations

from collections.abc import Iterable

from jailssh.change.transaction import Journal
from jailssh.change.undo import Operation, UndoAction
from jailssh.core.names import escape
from jailssh.host import as_user
from jailssh.host.accounts import AccountEntry
from jailssh.services import spools
from jailssh.setup.looks import Outside, OutsideJail


def set_aside(journal: Journal, entry: AccountEntry, found: Iterable[OutsideJail]) -> None:
    """Give jobs and files of the account's home names that nothing runs or reads; no user manager lingers."""
    for each in found:
        if each.kind == Outside.SPOOL:
            inverse = UndoAction(Operation.SPOOL, each.place, (entry.name, entry.uid))
            journal.step(f"aside {each.place}", inverse, lambda path=each.place: spools.set_aside(path), confines=True)  # type: ignore[misc]
        elif each.kind == Outside.LINGER:
            inverse = UndoAction(Operation.LINGER, entry.name, (entry.uid,))
            journal.step("linger", inverse, lambda: spools.set_linger(entry.name, False), confines=True)
        elif each.kind == Outside.HOME and "/" not in each.place:
            # A step for each: one that is set aside later is remembered beside those of before.
            inverse = UndoAction(Operation.HOME, f"{entry.name}/{each.place}", (entry.uid, [each.place]))
            pairs = [(each.place, f"{spools.ASIDE}{each.place}")]
            journal.step(
                f"home {escape(each.place, 200)}",
                inverse,
                lambda pairs=pairs: as_user.rename_in(entry, entry.home, pairs),  # type: ignore[misc]
                confines=True,
            )
