"""Whose log is relayed, as the published plans say it, and that the sockets for it are there."""

from __future__ import annotations

from jailssh.core.errors import JailsshError
from jailssh.host.paths import Layout
from jailssh.plan import codec
from jailssh.publish import plan_files
from jailssh.services import log_sockets
from jailssh.services.log_sockets import Logging, Relay


def logging_of(plan: codec.Plan | None) -> Logging | None:
    """Return what a plan says about the account's log, None where it has none."""
    said, jail = (plan.first("relay"), plan.first("jail")) if plan else (None, None)
    if not plan or not said or not jail:
        return None
    base, peak, interval = map(int, said)
    return Logging(plan.uid, plan.name, jail[0], base=base, peak=peak, interval=interval)


def follow(layout: Layout, uid: int, relay: Relay | None = None) -> str:
    """Have the sockets of ``uid`` as its plans say; return what went wrong, or "".

    ``relay``: a connection that is there already.
    """
    if layout.root:
        return ""
    found = plan_files.published(layout, uid)
    plans = [found.plan, *found.of_keys.values()] if found else []
    who = next((each for plan in plans if (each := logging_of(plan))), None)
    try:
        if who is None:
            log_sockets.withdraw(layout, uid)
            return ""
        if relay:
            return log_sockets.provide(layout, who, relay)
        with log_sockets.connected(layout) as own:
            return log_sockets.provide(layout, who, own)
    except (JailsshError, OSError) as error:
        return f"the socket for the log of uid {uid}: {error}"


def follow_all(layout: Layout) -> list[str]:
    """Do the same for every account with a plan or a socket, as a relay that has begun needs it."""
    with log_sockets.connected(layout) as relay:
        uids = sorted({*plan_files.planned_uids(layout), *log_sockets.provided(layout)})
        return [why for uid in uids if (why := follow(layout, uid, relay))]
