"""The plan: is it there, whole, of this account, and what the configuration says; and what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jailssh.core.errors import JailsshError
from jailssh.core.names import HostPath
from jailssh.doctor.case import Case
from jailssh.doctor.host import no_daemon
from jailssh.doctor.step import Fault
from jailssh.host import sockets
from jailssh.image.store import current_image
from jailssh.plan.codec import Plan
from jailssh.publish import keys_wanted, plan_files
from jailssh.publish.account_plan import Use, difference

_MOST_LINES = 3


@dataclass(frozen=True)
class PlanFacts:
    """The published plan, or why it cannot be read; whether jailsshd would make one.

    ``lacks``: what it names and is not there.  ``changes``: how it differs from what the configuration says.
    """

    name: str
    uid: int
    gid: int
    path: str
    plan: Plan | None
    trouble: JailsshError | None
    by_name: bool
    made_on_demand: bool
    no_daemon: JailsshError | None
    lacks: str
    changes: tuple[str, ...]


def collect(case: Case) -> PlanFacts:
    """Read the plan as a login would, and compile what it should be."""
    plan, trouble = None, None
    path = plan_files.plan_file(case.layout, case.entry.uid)
    try:
        plan = case.plan
    except JailsshError as error:
        trouble = error
    listens = sockets.is_listened_at(case.layout.socket)
    missing = plan is None and trouble is None
    return PlanFacts(
        case.name,
        case.entry.uid,
        case.entry.gid,
        path,
        plan,
        trouble,
        case.by_name,
        made_on_demand=missing and listens,
        no_daemon=no_daemon() if missing and not listens else None,
        lacks=plan_files.lacking(path, case.layout.root) if plan else "",
        changes=tuple(_changes(case)) if plan and (plan.name, plan.uid) == (case.name, case.entry.uid) else (),
    )


def _changes(case: Case) -> Sequence[str]:
    """Return what ``jailssh apply`` would change for the account; raises where the configuration is wrong."""
    use = Use.of(case.configuration, case.account)
    published = plan_files.published(case.layout, case.entry.uid)
    row = published.plan.first("image") if published else None
    image = current_image(case.layout, use.definition.name) or HostPath(row[0] if row else f"{case.layout.images}/none")
    new = use.compile(case.configuration.main, image)
    return [*difference(published, new), *keys_wanted.change(case.configuration, case.account)]


def judge(facts: PlanFacts) -> list[Fault]:
    """Say whether a login finds a plan that it takes."""
    what = f"plan of {facts.name}"
    if facts.trouble is not None:
        why = f"is damaged: {facts.trouble.what}: {facts.trouble.why}"
        return [Fault(what, why.replace("plan: ", "", 1), "jailssh apply")]
    if facts.plan is None:
        if facts.made_on_demand:
            return [Fault(what, "does not exist yet; the next login creates it", wrong=False)]
        cure = "jailssh apply" if facts.by_name else (facts.no_daemon.hint if facts.no_daemon else "")
        return [Fault(what, "does not exist, and jailsshd, which would create it, does not run", cure)]
    if facts.plan.name != facts.name:
        why = f"is for an account called {facts.plan.name!r}, which had uid {facts.uid} before"
        again = f" && jailssh adduser {facts.name} --jail JAIL" if facts.by_name else ""
        return [Fault(what, why, f"jailssh apply --gone{again}")]
    if facts.plan.uid != facts.uid:
        return [Fault(what, f"is for uid {facts.plan.uid}, the account has uid {facts.uid}", "jailssh apply")]
    if facts.plan.gid != facts.gid:
        return [Fault(what, f"is for gid {facts.plan.gid}, the account has gid {facts.gid}", "jailssh apply")]
    if facts.lacks and "image" not in facts.lacks:
        return [Fault(what, f"is incomplete: {facts.lacks}", "jailssh apply")]
    if facts.changes and not facts.lacks:
        more = f" (and {len(facts.changes) - _MOST_LINES} more)" if facts.changes[_MOST_LINES:] else ""
        why = f"is not what the configuration says: {'; '.join(facts.changes[:_MOST_LINES])}{more}"
        return [Fault(what, why, "jailssh apply")]
    return []
