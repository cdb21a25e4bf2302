"""Whose log is relayed, as the published plans say it, and that the sockets for it are there."""

from __future__ import annotations

import os
import re

from jailssh.core.errors import JailsshError
from jailssh.host.paths import Layout
from jailssh.plan import codec, ops
from jailssh.publish import plan_files
from jailssh.services import log_sockets
from jailssh.services.log_sockets import Logging, Relay

_PLAN = re.compile(rb"%s\0\d+\0\d+\0\d+\0([^\0]+)\0[0-9a-f]{16}\0\d+\0jail\0([^\0]+)\0" % ops.MAGIC.encode())
_RELAY = re.compile(rb"\0relay\0(\d{1,18})\0(\d{1,18})\0(\d{1,18})\0")


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
    wanted = {each.uid: each for uid, data in plan_files.beginnings(layout) if (each := _read(uid, data))}
    with log_sockets.connected(layout) as relay:
        found = [log_sockets.provide(layout, who, relay) for _, who in sorted(wanted.items())]
        # By the plan as a whole, in case it could not be told from its beginning.
        found += [follow(layout, uid, relay) for uid in log_sockets.provided(layout) if uid not in wanted]
    return [why for why in found if why]


def _read(uid: int, data: bytes) -> Logging | None:
    """Return what :func:`logging_of` does, by the beginning of a plan."""
    head, said = _PLAN.match(data), _RELAY.search(data)
    if not head or not said:
        return None
    name, jail = (os.fsdecode(text) for text in head.groups())
    base, peak, interval = map(int, said.groups())
    return Logging(uid, name, jail, base=base, peak=peak, interval=interval)
