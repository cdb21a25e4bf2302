"""Create what a session covers in a home ahead: while there is room for it, and before the first login."""

from __future__ import annotations

import os
from collections.abc import Sequence

from jailssh.core.errors import HostError
from jailssh.core.home_readers import Kind, covers
from jailssh.core.names import is_below
from jailssh.host import as_each, as_user, install
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.plan import codec, ops

LIMIT = as_user.TIMEOUT


def make_ahead(layout: Layout, entry: AccountEntry) -> list[str]:
    """Make the empty files and directories that the account's plan covers and that are missing, as the account.

    Returns what is to be said where that fails: the login program tries it again and refuses the login then.
    """
    return make_ahead_each(layout, [entry])[entry.name]


def make_ahead_each(layout: Layout, entries: Sequence[AccountEntry]) -> dict[str, list[str]]:
    """Do as :func:`make_ahead` for several accounts; return what is to be said, by name."""
    lines: dict[str, list[str]] = {entry.name: [] for entry in entries}
    wanted = {entry.name: found for entry in entries if (found := _covered(layout, entry))}
    asked = [entry for entry in entries if entry.name in wanted]
    for entry, answer in as_each.ask_each(asked, lambda each: as_user.making_empty(wanted[each.name]), LIMIT):
        if isinstance(answer, HostError):
            lines[entry.name].append(f"note: cannot create what sessions cover in {entry.home}: {answer}")
            continue
        lines[entry.name] += [
            f"note: cannot create {path} ({os.strerror(number).lower()}); until then logins of {entry.name} are refused"
            for path, number in as_user.not_made(answer)
        ]
    return lines


def _covered(layout: Layout, entry: AccountEntry) -> list[tuple[str, bool]]:
    """Return the paths in its home that the account's plan covers, True for a directory."""
    data = install.read_optional(f"{layout.plans}/{entry.uid}")
    if data is None or not data.startswith(ops.MAGIC.encode()):
        return []
    plan = codec.decode(data)
    masks = {r.args[0]: r.verb for r in plan.records if r.verb in ("mask", "mask-file")}
    # The jail may show the home at another path.
    inside = next((r.args[1] for r in plan.records if r.verb == "bind" and r.args[0] == entry.home), entry.home)
    below = [(path, verb) for path, verb in masks.items() if is_below(path, inside)]
    return [(entry.home + path[len(inside) :], verb == "mask") for path, verb in below]


def take_away(entry: AccountEntry) -> None:
    """Remove the empty files and directories that were made to be covered, but for ``.ssh``, which people make too."""
    take_away_each([entry])


def take_away_each(entries: Sequence[AccountEntry]) -> None:
    """Do as :func:`take_away` for several accounts; a home that cannot be looked into is left as it is."""
    names = [(name, kind == Kind.DIRECTORY) for name, kind in covers() if name != ".ssh"]

    def question(entry: AccountEntry) -> bytes:
        return as_user.removing_empty([(f"{entry.home}/{name}", directory) for name, directory in names])

    for _ in as_each.ask_each(entries, question, LIMIT):
        pass
