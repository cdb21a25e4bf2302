"""The last logins in the journal: which were refused or denied, and whether the last one would be again."""

from __future__ import annotations

import glob
import ipaddress
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from jailssh.core.errors import JailsshError
from jailssh.core.journal_fields import EVENT, KEY, PEER, REASON, REASONS, REFERENCE, SESSION, UID, USER, Event
from jailssh.core.names import escape
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault
from jailssh.host import journal, process
from jailssh.host.journal import JournalRecord
from jailssh.plan import limits
from jailssh.plan.codec import Plan

_READ = 60
_MOST_TOLD = 3
_BAD = (Event.DENIED, Event.REFUSED)
_LOGINS = (Event.SESSION_START, *_BAD)


@dataclass(frozen=True)
class PastFacts:
    """The account's last logins, the oldest first; ``absent``: this host keeps no journal.

    ``now``: how the last one, which was denied, would be decided now: why it would be denied again, else "".
    ``advice``: what would allow it, in sentences.
    """

    name: str
    absent: bool
    logins: tuple[JournalRecord, ...]
    now: str = ""
    advice: tuple[str, ...] = ()


def collect(case: Case) -> PastFacts:
    """Read the newest records about the account that root or it has sent; judge the last denial again."""
    if process.find_program("journalctl") is None or not _has_journal(case.layout.root):
        return PastFacts(case.name, True, ())
    found = journal.read({UID: str(case.entry.uid)}, root=case.layout.root, most=_READ, seconds=case.seconds)
    # A uid that is free is given again: what it did before was another account's.
    logins = tuple(one for one in found if one.get(EVENT) in _LOGINS and one.get(USER) in ("", case.name))
    if not logins or logins[-1].get(EVENT) != Event.DENIED:
        return PastFacts(case.name, False, logins)
    now, advice = _again(case, logins[-1])
    return PastFacts(case.name, False, logins, now, tuple(advice))


def _has_journal(root: str) -> bool:
    """True if there is a file of the journal, kept or of this boot."""
    return any(glob.glob(f"{glob.escape(root)}/{place}/log/journal/*/*.journal*") for place in ("run", "var"))


def _again(case: Case, record: JournalRecord) -> tuple[str, Sequence[str]]:
    """Return why the plan that is published now would deny the same login, "" if it would not, and what to change."""
    # Imported here: it is much, and few accounts were denied last.
    from jailssh.diagnose import explain, reasons

    reason, key = record.get(REASON), record.get(KEY) or None
    if reason == "address":
        return _by_address(case, record), [reasons.limit(case.configuration, case.entry, reason)]
    if reason in reasons.LIMITS:
        return "", []  # How it is with these now is looked at before.
    if record.cut_short:
        return "", []
    try:
        found = explain.explain(case.layout, case.entry, record.command(), key)
    except JailsshError:
        return "", []  # The key has no plan any more, or another step says what is wrong with the plan.
    if found.allowed:
        return "", []
    return str(found.facts["reason"]), found.facts["advice"]


def _by_address(case: Case, record: JournalRecord) -> str:
    """Return "address" if the client's address is still none of those that are allowed."""
    peer = record.get(PEER).partition(" ")[0]
    plans: Sequence[Plan] = case.plans
    with suppress(ValueError):
        client = ipaddress.ip_address(peer.partition("%")[0])
        for plan in plans:
            networks = [ipaddress.ip_network(each) for each in limits.access_of(plan).addresses]
            if networks and not any(_inside(client, network) for network in networks):
                return "address"
    return ""


def _inside(
    client: ipaddress.IPv4Address | ipaddress.IPv6Address, network: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    """Compare as IPv6, in which plans have IPv4 too."""
    if client.version == 4 and network.version == 6:
        client = ipaddress.ip_address(f"::ffff:{client}")
    return client in network


def judge(facts: PastFacts) -> list[Fault]:
    """Say whether the last login was denied and would be denied again; tell of refusals before it."""
    if facts.absent:
        return [Fault("journal", "does not exist on this host, so past refusals are unknown", wrong=False)]
    found = []
    if facts.now:
        last = facts.logins[-1]
        command = last.command()
        asked = "an interactive login" if command is None else f"command '{escape(command, 200)}'"
        asked = f"login from {escape(last.get(PEER), 80)}" if facts.now == "address" else asked
        why = f"the last login ({last.when}) was denied: {asked}: {REASONS.get(facts.now, facts.now)} ({facts.now})"
        advice = "; ".join(line.strip() for line in facts.advice).replace(":; ", ": ")
        found.append(Fault(f"account {facts.name}", why, advice))
    bad = [one for one in facts.logins if one.get(EVENT) in _BAD]
    for one in bad[: -_MOST_TOLD - 1 : -1]:
        reason = one.get(REASON)
        means = f": {REASONS[reason]}" if reason in REASONS else ""
        more = f", reference {one.get(REFERENCE)}" if one.get(REFERENCE) else ""
        why = f"was {one.get(EVENT)} on {one.when}: {reason}{means}{more}"
        cure = f"jailssh explain --from-journal {one.get(SESSION)}" if one.get(SESSION).isalnum() else ""
        found.append(Fault(f"login of {facts.name}", why, cure, wrong=False))
    return found
