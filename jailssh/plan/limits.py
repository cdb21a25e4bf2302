"""The limits of access in a plan: for people, and whether one keeps everybody out at a moment.  Pure.

:func:`judge` decides as ``login/command/limit.c`` does; a test holds the two together.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

from jailssh.core.names import DAYS, binary_size
from jailssh.plan import words
from jailssh.plan.codec import Plan
from jailssh.plan.compile import Access

_BOUNDS = ("sessions", "key-sessions", "duration", "idle", "nice", "bandwidth", "expires")
_THURSDAY = 3  # 1970-01-01
_DAY = 86400


def access_of(plan: Plan) -> Access:
    """Return the limits that ``plan`` holds."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    for record in plan.records:
        if record.verb == "rule":
            break
        rows.setdefault(record.verb, []).append(record.args)
    hours = tuple((int(days), int(start), int(end)) for days, start, end in rows.get("hours", []))
    offsets = tuple((int(since), int(ahead)) for since, ahead in rows.get("utc-offset", []))
    bounds = {name: int(rows[name][0][0]) for name in _BOUNDS if name in rows}
    return Access(
        **{name.replace("-", "_"): value for name, value in bounds.items()},
        addresses=tuple(args[0] for args in rows.get("address", [])),
        hours=hours,
        offsets=offsets,
    )


def judge(access: Access, now: int) -> tuple[str, str]:
    """Return the reason code and the sentence of a denial at ``now``, seconds since 1970; two empty texts for none.

    Where from somebody comes is not looked at.
    """
    if access.expires and now >= access.expires:
        return "expired", f"account expired; last valid day: {_local(access, access.expires - 1):%Y-%m-%d}"
    clock = now + _ahead(access, now)
    day, minute = (clock // _DAY + _THURSDAY) % 7, clock % _DAY // 60
    if access.hours and not any(days >> day & 1 and start <= minute < end for days, start, end in access.hours):
        return "hours", "login not allowed at this time"
    return "", ""


def allows_address(access: Access, address: str) -> bool:
    """True if logins from the client's ``address`` are allowed."""
    client = ipaddress.ip_address(address)
    return not access.addresses or any(client in ipaddress.ip_network(each, strict=False) for each in access.addresses)


def in_force(access: Access) -> dict[str, str]:
    """Return what each limit says, for people, by the name of its setting."""
    lines = {
        "max_sessions": f"at most {access.sessions} of the account at a time" if access.sessions else "",
        "max_sessions_per_key": f"at most {access.key_sessions} of one key at a time" if access.key_sessions else "",
        "addresses": f"from {', '.join(access.addresses)} only" if access.addresses else "",
        "hours": f"{hours_text(access.hours)} only, local time" if access.hours else "",
        "expires": _end(access) if access.expires else "",
        "max_duration": f"a session ends after {words.span(access.duration)}" if access.duration else "",
        "idle_timeout": f"a session ends after {words.span(access.idle)} without traffic" if access.idle else "",
        "bandwidth": f"{binary_size(access.bandwidth)} per second in each direction" if access.bandwidth else "",
        "nice": f"{access.nice}" if access.nice else "",
    }
    return {name: line for name, line in lines.items() if line}


def clock_text(access: Access, moment: int) -> str:
    """Return a moment as clocks show it by the plan's local time, as in ``mon 2027-02-01 18:05``."""
    local = _local(access, moment)
    return f"{DAYS[local.weekday()]} {local:%Y-%m-%d %H:%M}"


def hours_text(hours: tuple[tuple[int, int, int], ...]) -> str:
    """Return hours of the week as a jail file has them, as in ``mon-fri 08:00-12:00 13:00-17:00, sat 10:00-12:00``."""
    spans: dict[int, list[str]] = {}
    for days, start, end in hours:
        spans.setdefault(days, []).append(f"{words.clock(start)}-{words.clock(end)}")
    return ", ".join(f"{words.days(days)} {' '.join(found)}" for days, found in spans.items())


def _ahead(access: Access, moment: int) -> int:
    return next((ahead for since, ahead in reversed(access.offsets) if since <= moment), 0)


def _local(access: Access, moment: int) -> datetime:
    """Return a moment as local clocks show it, marked as UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moment + _ahead(access, moment))


def _end(access: Access) -> str:
    last = _local(access, access.expires - 1)
    end = last + timedelta(seconds=1)
    return f"{last:%Y-%m-%d} is the last day" if f"{end:%H:%M}" == "00:00" else f"at {end:%Y-%m-%d %H:%M}, local time"
