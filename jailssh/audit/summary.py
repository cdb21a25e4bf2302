"""Sessions and denials over time, the busiest accounts, the last use of each key: one pass over records.  Pure.

Names come as the records have them; :meth:`Summary.facts` and :meth:`Summary.lines` escape them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime

from jailssh.core import journal_fields as fields
from jailssh.core.journal_fields import Event
from jailssh.core.names import escape
from jailssh.host.journal import JournalRecord

EVENTS = (Event.SESSION_START, Event.DENIED, Event.REFUSED)
"""The events that are counted: what a reader should ask the journal for."""
FIELDS = (fields.EVENT, fields.USER, fields.UID, fields.JAIL, fields.KEY, fields.REASON, "_UID")
"""The fields that are looked at, and the one that tells a genuine record; the others need not be read."""
_QUARTER = 900
"""Seconds for which the day is the same everywhere: zones differ by multiples of it."""
_MOST = 20
"""Accounts that people are shown."""


@dataclass
class Activity:
    """What an account did: sessions, denials (and refusals), first and last time in seconds since 1970."""

    sessions: int = 0
    denials: int = 0
    first: float = 0.0
    last: float = 0.0


@dataclass
class Summary:
    """Of a time: days are local and written as 2026-11-28; an account is its name with its uid (as text)."""

    sessions: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(day, jail) -> sessions that began"""
    denials: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(day, jail, reason) -> commands denied and logins refused"""
    accounts: dict[tuple[str, str], Activity] = field(default_factory=dict)
    keys: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """(user, uid, key) -> when it was last used for a session"""
    first: float | None = None
    last: float | None = None

    def busiest(self, count: int) -> list[tuple[tuple[str, str], Activity]]:
        """Return the accounts with the most sessions, then the most denials."""
        order = sorted(self.accounts.items(), key=lambda one: (-one[1].sessions, -one[1].denials, one[0]))
        return order[:count]

    def by_jail(self) -> Counter[str]:
        """Return the sessions of each jail."""
        found: Counter[str] = Counter()
        for (_, jail), count in self.sessions.items():
            found[jail] += count
        return found

    def by_reason(self) -> Counter[str]:
        """Return the denials of each reason."""
        found: Counter[str] = Counter()
        for (_, _, reason), count in self.denials.items():
            found[reason] += count
        return found

    def facts(self) -> dict[str, object]:
        """Return all of it for JSON, escaped; times in seconds since 1970."""
        return {
            "first": self.first,
            "last": self.last,
            "sessions": [
                {"day": day, "jail": escape(jail), "count": count}
                for (day, jail), count in sorted(self.sessions.items())
            ],
            "denials": [
                {"day": day, "jail": escape(jail), "reason": escape(reason), "count": count}
                for (day, jail, reason), count in sorted(self.denials.items())
            ],
            "accounts": [
                {"user": escape(user), "uid": escape(uid), **asdict(activity)}
                for (user, uid), activity in self.busiest(len(self.accounts))
            ],
            "keys": [
                {"user": escape(user), "uid": escape(uid), "key": escape(key), "last": last}
                for (user, uid, key), last in self._longest_unused()
            ],
        }

    def lines(self) -> list[str]:
        """Return the sums for people, escaped: of keys those first that have not been used for long."""
        busiest = [
            (f"{user}[{uid}]", f"sessions {each.sessions}, denied {each.denials}, last {_when(each.last)}")
            for (user, uid), each in self.busiest(_MOST)
        ]
        keys = [(f"{user}[{uid}]/{key}", _when(last)) for (user, uid, key), last in self._longest_unused()]
        found = []
        for title, cells in (
            ("sessions by jail", _counted(self.by_jail())),
            ("denials and refusals by reason", _counted(self.by_reason())),
            ("busiest accounts", busiest),
            ("last use of keys", keys),
        ):
            found.append(f"{title}:" if cells else f"{title}: none")
            found += [f"  {escape(name):<30}  {text}" for name, text in cells]
        return found

    def _longest_unused(self) -> list[tuple[tuple[str, str, str], float]]:
        return sorted(self.keys.items(), key=lambda one: (one[1], one[0]))


def _counted(counts: Counter[str]) -> list[tuple[str, str]]:
    return [(name or "-", str(count)) for name, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))]


def _when(time: float) -> str:
    return datetime.fromtimestamp(time).astimezone().isoformat(" ", "seconds")


def summarize(records: Iterable[JournalRecord]) -> Summary:
    """Return what the records of :data:`EVENTS` tell; others are left out.  They may come in any order."""
    found = Summary()
    accounts, sessions, keys = found.accounts, found.sessions, found.keys
    days: dict[int, str] = {}
    start, counted = str(Event.SESSION_START), frozenset(map(str, EVENTS))
    for record in records:
        get = record.fields.get
        event = get(fields.EVENT)
        if event not in counted:
            continue
        time = record.time
        quarter = int(time) // _QUARTER
        day = days.get(quarter)
        if day is None:
            day = days[quarter] = datetime.fromtimestamp(time).date().isoformat()
        user, uid, jail = get(fields.USER, ""), get(fields.UID, ""), get(fields.JAIL, "")
        activity = accounts.get((user, uid))
        if activity is None:
            activity = accounts[user, uid] = Activity(first=time, last=time)
        elif time < activity.first:
            activity.first = time
        elif time > activity.last:
            activity.last = time
        if event != start:
            found.denials[day, jail, get(fields.REASON, "")] += 1
            activity.denials += 1
            continue
        sessions[day, jail] += 1
        activity.sessions += 1
        key = get(fields.KEY)
        if key and time >= keys.get((user, uid, key), 0.0):
            keys[user, uid, key] = time
    if accounts:
        found.first = min(each.first for each in accounts.values())
        found.last = max(each.last for each in accounts.values())
    return found
