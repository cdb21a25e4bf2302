"""Cases for the limits of a login, judged by the driver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from jailssh.plan import codec
from jailssh.plan.compile import Access
from jailssh.plan.ops import Record
from jailssh.policy.rules import Rule
from tests.login.driver import Driver, joined
from tests.login.jails import plan_with

PEER = "192.0.2.7 4000 192.0.2.1 22"


def judged(driver: Driver, folder: Path, access: Access, *cases: tuple[int, str]) -> list[list[str]]:
    """Return reason and sentence for each (moment, peer)."""
    plan, whole = folder / "plan", plan_with([Rule("r", "p", "/bin/r", ("r",))])
    at_rule = next(index for index, row in enumerate(whole.records) if row.verb == "rule")
    records = [
        *(Record("address", (address,)) for address in access.addresses),
        *(Record("hours", tuple(map(str, hours))) for hours in access.hours),
        *(Record("utc-offset", tuple(map(str, offset))) for offset in access.offsets),
        *([Record("expires", (str(access.expires),))] if access.expires else []),
    ]
    records = [*whole.records[:at_rule], *records, *whole.records[at_rule:]]
    plan.write_bytes(codec.encode(replace(whole, records=tuple(records))))
    return driver.parts("limit", [joined([str(now), peer]) for now, peer in cases], plan)
