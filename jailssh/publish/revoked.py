"""Keys that can log in though no file names them any more, of all accounts."""

from __future__ import annotations

from functools import partial

from jailssh.core.errors import JailsshError
from jailssh.core.tries import Tries
from jailssh.host.paths import Layout
from jailssh.publish import key_rings, plan_files
from jailssh.publish.publish import PlanChange


def revocations(layout: Layout, *, act: bool, errors: list[JailsshError] | None = None) -> list[PlanChange]:
    """Return which named keys can log in though no file names them; with ``act`` they cannot any more.

    Nothing needs to be right in the configuration for this.  An account's error stops no other; it is added to
    ``errors``, or raised in the end.
    """
    found = []
    tries = Tries()
    for name, uid in sorted(key_rings.shared_accounts(layout).items()):
        gone = {who for who, _, _ in key_rings.outdated(layout, name, uid)}
        if gone:
            plan = plan_files.readable_plan(layout, uid) if uid is not None else None
            jail = ((plan.first("jail") if plan else None) or ("",))[0]
            found.append(PlanChange(uid or 0, name, jail, tuple(f"- key {who}" for who in sorted(gone))))
        if gone and act:
            tries(f"account {name}", partial(key_rings.revoke, layout, name, uid))
    if errors is None:
        tries.end()
    else:
        errors += tries.errors
    return found
