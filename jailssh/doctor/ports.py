"""Ports without a session: does sshd forward for an account of a jail with the plugin jump, and what its jail names."""

from __future__ import annotations

from dataclasses import dataclass

from jailssh.core.ports import GROUP_PREFIX, Ports
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault
from jailssh.host import accounts
from jailssh.host.accounts import GATED, LOCKED, PasswordAges
from jailssh.publish.plan_files import readable_plan
from jailssh.setup import forwarding, gate


@dataclass(frozen=True, kw_only=True)
class PortFacts:
    """``wanted``: what its jail names, None for a jail with sessions; ``groups``: those by which sshd forwards for it.

    ``problems``: what keeps PAM from asking pam_jailssh, with the cure; ``planned``: it has a plan that can be read.
    """

    name: str
    wanted: Ports | None
    groups: tuple[str, ...]
    ages: PasswordAges | None
    planned: bool = True
    problems: tuple[tuple[str, str], ...] = ()


def collect(case: Case) -> PortFacts:
    """Look at the account's jail, its groups, its day of expiry, and PAM."""
    wanted = case.configuration.ports_of(case.name)
    groups = tuple(accounts.listed_groups(case.name, GROUP_PREFIX))
    ages = accounts.password_ages(case.name) if accounts.is_local(case.name) else None
    problems = tuple(forwarding.pam_problems(case.layout, case.configuration)) if wanted or groups else ()
    planned = readable_plan(case.layout, case.entry.uid) is not None
    return PortFacts(name=case.name, wanted=wanted, groups=groups, ages=ages, planned=planned, problems=problems)


def judge(facts: PortFacts) -> list[Fault]:
    """Say what keeps the account out, or lets sshd forward what it must not."""
    what = f"account {facts.name}"
    if not facts.wanted:
        why = f"is in {', '.join(facts.groups)}, for whose members sshd forwards ports, and its jail names none"
        return [Fault(what, why, "jailssh apply")] if facts.groups else []
    found = [Fault(what, f"sshd forwards nothing for it: {why}", cure) for why, cure in facts.problems]
    if not facts.groups:
        return found or [Fault(what, "sshd forwards nothing for it yet", "jailssh apply")]
    if not facts.planned:
        found.append(Fault(what, "has no plan that can be read, without which PAM lets it not in", "jailssh apply"))
    if [*facts.groups] != [facts.wanted.group]:
        found.append(Fault(what, "sshd holds it to other ports than its jail names", "jailssh apply"))
    if why := gate.unsafe(facts.ages, facts.groups[0]):
        reset = facts.ages is not None and facts.ages.expires not in (None, GATED, LOCKED)
        found.append(Fault(what, why, (f"chage --expiredate -1 {facts.name}; " if reset else "") + "jailssh apply"))
    return found
