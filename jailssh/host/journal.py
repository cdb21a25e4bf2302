"""The journal: records of the command (who changed the set-up, and how), and reading the records of logins.

Anybody on the host may send a record with any of our fields, but journald itself notes the sender's uid in ``_UID``
(systemd.journal-fields(7), trusted fields).  A record about an account counts only if root or that account sent it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from jailssh.core.errors import HostError, JailsshError, UsageError
from jailssh.core.journal_fields import COMMAND, EVENT, MESSAGE_IDS, RELAYED, SESSION, UID, Event
from jailssh.core.names import escape

LIMIT = 2000
RELAY_USER = "jailssh-relay"
RELAY_UNIT = "jailssh-relay.service"
_WARNING, _NOTICE = "4", "5"
_WARNINGS = (Event.IMAGE_FAILED,)
_TIMEOUT = 60.0
_MOST = 20000
# Compiled where records are read.
_ESCAPED = rb"\\x(0[1-9a-f]|1[0-9a-f]|7f|[89][0-9a-f])"
_SESSION_ID = r"[0-9a-f]{8,16}"
# The login program writes at most so many bytes of a value (VALUE_MAX in login/journal.c).
_LONGEST_VALUE = 4096


def record(event: Event, message: str, fields: Mapping[str, str], *, priority: str = "") -> None:
    """Write one record about ``event``; without a journal there is none.

    ``priority``: as syslog(3) has it, where it is not that of the event.
    """
    # Imported here: the command must work where the binding cannot be loaded, and most verbs write no record.
    with suppress(OSError, ImportError):
        try:
            from systemd._journal import sendv  # a tenth of what it takes to import the module that documents it
        except ImportError:
            from systemd.journal import sendv

        values = {
            "MESSAGE": escape(message, LIMIT),
            "MESSAGE_ID": MESSAGE_IDS[event],
            "PRIORITY": priority or (_WARNING if event in _WARNINGS else _NOTICE),
            "SYSLOG_IDENTIFIER": "jailssh",
            EVENT: event,
            **{name: escape(value, LIMIT) for name, value in fields.items()},
        }
        sendv(*(f"{name}={value}" for name, value in values.items()))


@lru_cache(maxsize=1)
def _relay_uid() -> str:
    """Return the uid of the relay of logs, which is nobody else's; one that no record has where there is none."""
    from jailssh.host import accounts  # for readers alone, as all that is imported below

    entry = accounts.find(RELAY_USER)
    return str(entry.uid) if entry else "none"


@dataclass(frozen=True)
class JournalRecord:
    """One record of the journal: its cursor, when it was written (seconds since 1970), its fields as text.

    ``several``: the values of a field that was sent more than once.
    """

    cursor: str
    time: float
    fields: Mapping[str, str]
    several: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def get(self, field: str) -> str:
        """Return a field, "" where the record has none."""
        return self.fields.get(field, "")

    @property
    def genuine(self) -> bool:
        """True if root or the account that the record is about sent it; of what is relayed, if the relay did."""
        if self.get(EVENT) in RELAYED:
            # The uid is another one on other hosts; nobody else gets into the unit.
            return self.get("_UID") == _relay_uid() or self.get("_SYSTEMD_UNIT") == RELAY_UNIT
        return self.get(UID) != "" and self.get("_UID") in ("0", self.get(UID))

    @property
    def when(self) -> str:
        """The time for people, in local time, to the second."""
        from datetime import datetime

        return datetime.fromtimestamp(self.time).astimezone().isoformat(" ", "seconds")

    def command(self) -> str | None:
        """Return what the user asked for as it was sent; None for an interactive login.

        The login program writes control characters and what is not UTF-8 as ``\\xNN``; they become bytes again.
        """
        if COMMAND not in self.fields:
            return None
        raw = self.fields[COMMAND].encode("utf-8", "surrogateescape")
        return re.sub(_ESCAPED, lambda found: bytes([int(found[1], 16)]), raw).decode("utf-8", "surrogateescape")

    @property
    def cut_short(self) -> bool:
        """True if the record may hold only the beginning of the command."""
        return len(self.get(COMMAND).encode("utf-8", "surrogateescape")) >= _LONGEST_VALUE


def read(
    matches: Mapping[str, str],
    *,
    since: float | None = None,
    until: float | None = None,
    root: str = "",
    most: int = _MOST,
    seconds: float = _TIMEOUT,
) -> list[JournalRecord]:
    """Return the genuine records with these fields, oldest first; times are seconds since 1970.

    Of the newest ``most``, whoever sent them; ``seconds``: what reading may take.  ``root``: the journal of the system
    below this directory.
    """
    argv = [f"--lines={most}", *(f"{name}={value}" for name, value in matches.items())]
    argv += [f"--since=@{int(since)}"] if since is not None else []
    # journalctl(1) takes whole seconds; what is too much at either end is taken off here.
    argv += [f"--until=@{int(until) + 1}"] if until is not None else []
    found = _query(argv, root, seconds)
    return [one for one in found if (since is None or one.time >= since) and (until is None or one.time <= until)]


def find_login(which: str, *, root: str = "") -> list[JournalRecord]:
    """Return the records of one login: by its session id, the first 8 digits of it or more, or a record's cursor.

    Raises :class:`UsageError` for what is none of these, :class:`JailsshError` where there is no such login.
    """
    if which.startswith("s="):
        found = [one for one in _query([f"--cursor={which}", "--lines=1"], root) if one.cursor == which]
        if not found or not found[0].get(SESSION):
            raise JailsshError("journal", "no record of a login has this cursor")
        which = found[0].get(SESSION)
    if not re.fullmatch(_SESSION_ID, which):
        raise UsageError(f"record {escape(which, 80)}", "is not a session id, its first 8 digits, or a cursor")
    ids = [which]
    if len(which) < 16:
        done = _journalctl([f"--field={SESSION}"], root)
        ids = sorted({line for line in done.splitlines() if line.startswith(which) and re.fullmatch(_SESSION_ID, line)})
    logins = {each: found for each in ids if (found := read({SESSION: each}, root=root))}
    if not logins:
        raise JailsshError(f"session {which}", "has no record in the journal", hint="it may be older than the journal")
    if len(logins) > 1:
        raise JailsshError(f"session {which}", "is ambiguous", hint=", ".join(sorted(logins)))
    return next(iter(logins.values()))


def decisive(records: Sequence[JournalRecord]) -> JournalRecord:
    """Return the record that says how a login was decided: its denial or refusal, else its beginning."""
    order = (Event.DENIED, Event.REFUSED, Event.SESSION_START, Event.SESSION_END)
    return min(records, key=lambda one: order.index(one.get(EVENT)) if one.get(EVENT) in order else len(order))


def _query(argv: Sequence[str], root: str, seconds: float = _TIMEOUT) -> list[JournalRecord]:
    import json

    out = _journalctl(["--output=json", "--all", *argv], root, seconds)
    # Not str.splitlines: journalctl(1) leaves U+2028 and the like as they are in what an account has asked for.
    found = [parse(json.loads(line)) for line in out.split("\n") if line.startswith("{")]
    return [one for one in found if one.genuine]


def _journalctl(argv: Sequence[str], root: str, seconds: float = _TIMEOUT) -> str:
    from jailssh.host import process

    where = [f"--root={root}"] if root else []
    done = process.run(["journalctl", "--quiet", "--no-pager", *where, *argv], check=False, timeout=seconds)
    if done.code != 0 and done.stderr:
        raise HostError("journal", process.last_line(done.stderr))
    return done.stdout


def parse(row: Mapping[str, Any]) -> JournalRecord:
    """Return the record in one object of ``journalctl --output=json``.

    A value that is not plain text comes as a list of bytes; a field that was sent several times, which of ours only
    those of file operations are, counts as absent.
    """
    fields = {name: text for name, value in row.items() if (text := _text(value)) is not None}
    return JournalRecord(fields.get("__CURSOR", ""), int(fields.get("__REALTIME_TIMESTAMP", "0")) / 1e6, fields)


def _text(value: Any) -> str | None:
    if isinstance(value, list) and all(isinstance(byte, int) for byte in value):
        return bytes(value).decode("utf-8", "surrogateescape")
    return value if isinstance(value, str) else None
