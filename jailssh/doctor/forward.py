"""Forwarding: does sshd forward ports for an account of a jail with ``forward = inside``, and does it keep it out."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass

from jailssh.core.errors import HostError
from jailssh.core.ports import GROUP_PREFIX
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault
from jailssh.host import accounts, bounded
from jailssh.host.accounts import GATED, LOCKED, PasswordAges
from jailssh.setup import forwarding, gate


@dataclass(frozen=True, kw_only=True)
class ForwardFacts:
    """``wanted``: by the configuration; ``member``: by the group, for which sshd forwards.

    ``problems``: what keeps PAM on this host from putting a login into its network, with the cure; ``refused``: PAM
    refuses the account; ``jumps``: sshd forwards for it without a session; ``place``: the directory of networks, with
    owner and mode where it is there.
    """

    name: str
    wanted: bool
    member: bool
    ages: PasswordAges | None
    problems: tuple[tuple[str, str], ...]
    refused: bool
    jumps: bool
    place: str
    owner: int = 0
    mode: int = 0o700


def collect(case: Case) -> ForwardFacts:
    """Look at the account's group, its day of expiry, PAM, and the directory of networks."""
    wanted = case.name in case.configuration.forwarded_names()
    member = accounts.is_listed_member(case.name, forwarding.GROUP)
    ages = accounts.password_ages(case.name) if accounts.is_local(case.name) else None
    problems = tuple(forwarding.problems(case.layout, case.configuration)) if wanted or member else ()
    refused = bool(problems) and case.uses_pam and _refuses(case)
    place, owner, mode = case.layout.networks, 0, 0o700
    with suppress(FileNotFoundError):
        info = os.lstat(place)
        owner, mode = info.st_uid, stat.S_IMODE(info.st_mode) if stat.S_ISDIR(info.st_mode) else 0
    return ForwardFacts(
        name=case.name, wanted=wanted, member=member, ages=ages, problems=problems,
        refused=refused, place=place, owner=owner, mode=mode,
        jumps=bool(case.configuration.ports_of(case.name) or accounts.listed_groups(case.name, GROUP_PREFIX)),
    )  # fmt: skip


def _refuses(case: Case) -> bool:
    try:
        return case.pam_answer.code != 0
    except (bounded.NoAnswerError, HostError):
        return True


def judge(facts: ForwardFacts) -> list[Fault]:
    """Say what keeps the account out, and as notes what keeps sshd from forwarding."""
    what = f"account {facts.name}"
    expires = facts.ages.expires if facts.ages else None
    if not facts.member:
        if expires == GATED and not facts.jumps:
            why = f"has the day of expiry of accounts in group {forwarding.GROUP}, and is not in it: it has expired"
            return [Fault(what, why, "jailssh apply" if facts.wanted else f"chage --expiredate -1 {facts.name}")]
        if not facts.wanted:
            return []
        notes = [Fault(what, f"forward = inside: {why}", cure, wrong=False) for why, cure in facts.problems]
        why = "forward = inside: sshd forwards nothing for it yet"
        return notes or [Fault(what, why, "jailssh apply", wrong=False)]
    found = []
    if why := gate.unsafe(facts.ages):
        reset = expires not in (None, GATED, LOCKED)
        found.append(Fault(what, why, (f"chage --expiredate -1 {facts.name}; " if reset else "") + "jailssh apply"))
    found += [Fault(what, f"forward = inside: {why}", cure, wrong=facts.refused) for why, cure in facts.problems]
    if facts.owner != 0 or facts.mode & 0o022 or not facts.mode:
        why = "is not a directory of root's alone, so no login gets its network"
        found.append(Fault(facts.place, why, f"rm -r {facts.place}" if not facts.mode else f"chmod 700 {facts.place}"))
    return found
