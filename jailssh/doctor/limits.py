"""The limits that hold now: expiry, hours, sessions and processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from jailssh.core.errors import JailsshError
from jailssh.diagnose import reasons
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault
from jailssh.host import accounts
from jailssh.plan import limits
from jailssh.plan.codec import Plan
from jailssh.plan.compile import Access
from jailssh.publish import plan_files
from jailssh.services import sessions


@dataclass(frozen=True)
class LimitFacts:
    """What a plan limits and how much of it is in use; ``key``: that it holds for, "" for the account.

    ``cures``: by reason, the setting that is behind it.
    """

    name: str
    key: str
    access: Access
    now: int
    sessions: int
    key_sessions: int
    processes: int
    most_processes: int
    cures: dict[str, str]


def collect(case: Case) -> list[LimitFacts]:
    """Count what is in use, for the account or each of its named keys."""
    if case.plan is None:
        return []
    keys = plan_files.keys_of(case.plan)
    plans = {plan.serial: plan for plan in case.plans}
    named: dict[str, Plan] = {key: plans[serial] for key, serial in keys.items() if serial in plans}
    return [_facts(case, key, plan) for key, plan in (named or {"": case.plan}).items()]


def _facts(case: Case, key: str, plan: Plan) -> LimitFacts:
    access, uid = limits.access_of(plan), case.entry.uid
    most = next((int(r.args[1]) for r in plan.records if r.verb == "rlimit" and r.args[0] == "nproc"), 0)
    return LimitFacts(
        case.name,
        key,
        access,
        int(time.time()),
        sessions.places_taken(case.layout, uid, access.sessions) if access.sessions else 0,
        sessions.places_taken(case.layout, uid, access.key_sessions, key) if access.key_sessions and key else 0,
        len(accounts.processes_of(uid, zombies=True)) if most else 0,  # The kernel counts them too: RLIMIT_NPROC.
        most,
        {reason: _cure(case, reason, key) for reason in ("expired", "hours", "sessions", "sessions-of-key")},
    )


def _cure(case: Case, reason: str, key: str) -> str:
    try:
        return reasons.limit(case.configuration, case.entry, reason, key)
    except JailsshError as error:
        return error.hint or "jailssh config check"


def judge(facts: Sequence[LimitFacts]) -> list[Fault]:
    """Say which limit keeps the account, or some of its keys, out now."""
    found: dict[tuple[str, str], list[str]] = {}
    for each in facts:
        for fault in _limits(each):
            found.setdefault(fault, []).append(each.key)
    told = []
    for (why, cure), keys in found.items():
        of_keys = f", key {', '.join(keys)}" if keys[0] and len(keys) < len(facts) else ""
        told.append(Fault(f"limits of {facts[0].name}{of_keys}", why, cure))
    return told


def _limits(each: LimitFacts) -> list[tuple[str, str]]:
    """Return what keeps out, and its cure."""
    found = []
    end = f"jailssh kick {each.name}"
    reason, sentence = limits.judge(each.access, each.now)
    if reason:
        found.append((f"{sentence} ({limits.clock_text(each.access, each.now)})", each.cures[reason]))
    if 0 < each.access.sessions <= each.sessions:
        why = f"all {each.access.sessions} sessions of the account are in use"
        found.append((why, f"{end}; or {each.cures['sessions']}"))
    if 0 < each.access.key_sessions <= each.key_sessions:
        why = f"all {each.access.key_sessions} sessions of the key are in use"
        found.append((why, f"{end}; or {each.cures['sessions-of-key']}"))
    if 0 < each.most_processes <= each.processes:
        why = f"the account runs {each.processes} processes, its jail allows {each.most_processes}"
        found.append((why, f"{end}; to see them: ps -U {each.name}"))
    return found
