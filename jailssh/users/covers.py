"""Create what a session covers in a home ahead: while there is room for it, and before the first login."""

from __future__ import annotations

import os
from contextlib import suppress

from jailssh.core.errors import HostError, JailsshError
from jailssh.core.home_readers import Kind, covers
from jailssh.core.names import is_below
from jailssh.host import as_user, install
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.plan import codec, ops


def make_ahead(layout: Layout, entry: AccountEntry) -> list[str]:
    """Make the empty files and directories that the account's plan covers and that are missing, as the account.

    Returns what is to be said where that fails: the login program tries it again and refuses the login then.
    """
    data = install.read_optional(f"{layout.plans}/{entry.uid}")
    if data is None or not data.startswith(ops.MAGIC.encode()):
        return []
    plan = codec.decode(data)
    masks = {r.args[0]: r.verb for r in plan.records if r.verb in ("mask", "mask-file")}
    # The jail may show the home at another path.
    inside = next((r.args[1] for r in plan.records if r.verb == "bind" and r.args[0] == entry.home), entry.home)
    wanted = {entry.home + path[len(inside) :]: verb for path, verb in masks.items() if is_below(path, inside)}
    if not wanted:
        return []

    try:
        failed = as_user.make_empty(entry, [(path, verb == "mask") for path, verb in wanted.items()])
    except JailsshError as error:
        return [f"note: cannot create what sessions cover in {entry.home}: {error}"]
    return [
        f"note: cannot create {path} ({os.strerror(number).lower()}); until then logins of {entry.name} are refused"
        for path, number in failed
    ]


def take_away(entry: AccountEntry) -> None:
    """Remove the empty files and directories that were made to be covered, but for ``.ssh``, which people make too."""
    paths = [(f"{entry.home}/{name}", kind == Kind.DIRECTORY) for name, kind in covers() if name != ".ssh"]
    with suppress(HostError):  # a home that cannot be looked into is left as it is
        as_user.remove_empty(entry, paths)
