"""Running sums of what the journal tells, which go on when the journal has forgotten, as numbers for Prometheus.

What was counted is below the state directory, with the place in the journal up to which it was counted.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from jailssh.audit.logbook import counts
from jailssh.audit.telling import metric
from jailssh.core import journal_fields as fields
from jailssh.core.closed import Word
from jailssh.core.errors import UsageError
from jailssh.core.journal_fields import REASONS, Event
from jailssh.core.names import check_jail_name
from jailssh.files import fs
from jailssh.host.journal import JournalRecord
from jailssh.host.paths import Layout

FIELDS = (fields.EVENT, fields.UID, fields.JAIL, fields.REASON, fields.DROPPED, "_UID")
"""What is needed of a record."""
_VERSION = 1
_LIMIT = 1 << 20
_MOST_JAILS = 500
_OTHER = "other"
_DIGITS = 16


class Counted(Word):
    """What is counted."""

    STARTED = "started"
    DENIED = "denied"
    REFUSED = "refused"
    BUILT = "built"
    FAILED = "failed"
    OPERATIONS = "operations"
    DROPPED = "dropped"


_COUNTED: Mapping[str, Counted] = {
    Event.SESSION_START: Counted.STARTED, Event.DENIED: Counted.DENIED, Event.REFUSED: Counted.REFUSED,
    Event.IMAGE_BUILT: Counted.BUILT, Event.IMAGE_FAILED: Counted.FAILED, Event.FILE_OPERATION: Counted.OPERATIONS,
    Event.MESSAGES_LOST: Counted.DROPPED,
}  # fmt: skip
_WITH_REASON = (Counted.DENIED, Counted.REFUSED)


@dataclass(kw_only=True)
class Sums:
    """``cursor``: of the newest record that was counted.  ``rows``: how many, by kind, jail and reason."""

    cursor: str = ""
    rows: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, record: JournalRecord) -> None:
        """Count a record, where it is one of those that are counted and from who may say so."""
        kind = _COUNTED.get(record.get(fields.EVENT))
        if kind is None or not counts(record):
            return
        number = 1 if kind != Counted.DROPPED else _dropped(record)
        reason = record.get(fields.REASON) if kind in _WITH_REASON else ""
        # What an account could send in its own name must not make up names without end.
        self.rows[kind, self._jail(record.get(fields.JAIL)), reason if reason in ("", *REASONS) else _OTHER] += number

    def _jail(self, name: str) -> str:
        known = {jail for _, jail, _ in self.rows}
        with suppress(UsageError):
            check_jail_name(name, combined=True)
            if name in known or len(known) < _MOST_JAILS:
                return name
        return _OTHER if name else ""


def _dropped(record: JournalRecord) -> int:
    """Return how many messages a record of the relay's says it has dropped; nobody else's record counts."""
    told = record.get(fields.DROPPED)
    return int(told) if record.genuine and told.isascii() and told.isdecimal() and len(told) < _DIGITS else 0


def read(layout: Layout) -> Sums:
    """Return what was counted so far; what cannot be read is nothing, and is counted again."""
    if not os.path.lexists(_file(layout)):
        return Sums()
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        data = json.loads(fs.read_trusted(_file(layout), _LIMIT, trusted_root=layout.root or None))
        if data["version"] == _VERSION:
            rows = {(str(kind), str(jail), str(reason)): int(count) for kind, jail, reason, count in data["rows"]}
            return Sums(cursor=str(data["cursor"]), rows=Counter(rows))
    return Sums()


def write(layout: Layout, sums: Sums) -> None:
    """Keep what was counted, at once."""
    rows = [[*key, count] for key, count in sorted(sums.rows.items())]
    data = {"version": _VERSION, "cursor": sums.cursor, "rows": rows}
    fs.atomic_write(_file(layout), json.dumps(data).encode(), mode=0o600)


def lock(layout: Layout) -> str:
    """Return the file whose lock keeps two from counting the same."""
    return f"{layout.state}/.metrics.lock"


def _file(layout: Layout) -> str:
    return f"{layout.state}/metrics.json"


def text(sums: Sums, live: Iterable[Mapping[str, Any]], outside: int, *, paused: bool) -> str:
    """Return the numbers in the text format of Prometheus; ``live``: sessions that run, with jail, cpu and memory."""
    sessions: Counter[str] = Counter()
    memory: Counter[str] = Counter()
    for each in live:
        sessions[each["jail"]] += 1
        memory[each["jail"]] += each["memory"]
    out = metric("jailssh_sessions", "Sessions that run, by jail.", _by_jail(sessions))
    out += metric("jailssh_sessions_memory_bytes", "Memory of the sessions that run, by jail.", _by_jail(memory))
    out += metric("jailssh_processes_outside", "Processes of accounts in jails that are in none.", {"": outside})
    out += metric("jailssh_no_new_logins", "1 while new logins are refused for maintenance.", {"": int(paused)})
    for kind, name, help_ in (
        (Counted.STARTED, "jailssh_sessions_started_total", "Sessions that began, by jail."),
        (Counted.OPERATIONS, "jailssh_file_records_total", "Records of file operations, by jail."),
        (Counted.DROPPED, "jailssh_messages_dropped_total", "Messages from jails that the relay dropped, by jail."),
        (Counted.BUILT, "jailssh_images_built_total", "Images that were built, by jail."),
        (Counted.FAILED, "jailssh_images_failed_total", "Images that could not be built, by jail."),
    ):
        rows = {jail: count for (which, jail, _), count in sorted(sums.rows.items()) if which == kind}
        out += metric(name, help_, _by_jail(rows), kind="counter")
    for kind, name, help_ in (
        (Counted.DENIED, "jailssh_denied_total", "Logins and commands that were denied, by jail and reason."),
        (Counted.REFUSED, "jailssh_refused_total", "Logins whose jail could not be entered, by jail and reason."),
    ):
        pairs = {
            f'jail="{jail}",reason="{reason}"': count
            for (which, jail, reason), count in sorted(sums.rows.items()) if which == kind
        }  # fmt: skip
        out += metric(name, help_, pairs, kind="counter")
    return "".join(f"{line}\n" for line in out)


def _by_jail(rows: Mapping[str, int]) -> dict[str, float]:
    return {f'jail="{jail}"': count for jail, count in sorted(rows.items())}
