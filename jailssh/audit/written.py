"""Which files a session wrote, as the log of file operations tells it, and which sessions have no such log.  Pure.

The lines are those of sftp-server(8), as ``login/outer/operation.c`` reads them: names are not escaped for quotes, so
the last quote ends a path, and where two names could be divided in more than one way they are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jailssh.audit.logbook import file_lines
from jailssh.core import journal_fields as fields
from jailssh.core.closed import Word
from jailssh.core.journal_fields import Event
from jailssh.host.journal import JournalRecord

FIELDS = (
    fields.EVENT, fields.USER, fields.UID, fields.JAIL, fields.SESSION, fields.KEY, fields.OPERATION, fields.PATH,
    fields.NEW_PATH, fields.BYTES_WRITTEN, fields.FILE, fields.RULE, fields.DURATION, "_UID",
    "_SOURCE_REALTIME_TIMESTAMP",
)  # fmt: skip
"""What is needed of a record."""
MOST_NAMES = 16
"""Names of one file that are looked at; what it is renamed to after these is not followed."""
_MAY_BE_CUT = 1016
"""Characters from which on sftp-server may have cut the line: MAY_BE_CUT in operation.c."""
_CLOSED = re.compile(r'(?:forced )?close "(.*)" bytes read [0-9]+ written ([0-9]{1,18})\Z', re.DOTALL)
_CLOSED_CUT = re.compile(r'(?:forced )?close "')
_RENAMED = re.compile(r'(?:posix-)?rename old "(.*)"', re.DOTALL)
_BETWEEN = '" new "'
# strvis(3) with VIS_OCTAL doubles backslashes, so what the login program escapes (\xNN) cannot be part of a name.
_ESCAPED = re.compile(r"\\(\\|[0-3][0-7][0-7]|x[0-9a-f]{2})")


UNTOLD = frozenset({"rsync.push", "scp.upload"})
"""The rules of programs that write files and tell nobody which."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session of such a program, from ``began`` to ``ended``, seconds since 1970."""

    session: str
    user: str
    uid: int
    jail: str
    key: str
    began: float
    ended: float


def untold(records: Iterable[JournalRecord], sessions: list[Session]) -> Iterator[JournalRecord]:
    """Give the records but for those of ends, of which ``sessions`` gets what :data:`UNTOLD` are."""
    for record in records:
        if record.get(fields.EVENT) != Event.SESSION_END:
            yield record
        elif record.get(fields.RULE) in UNTOLD:
            took = _seconds(record.get(fields.DURATION)) or 0.0
            # The kernel's, of when it was sent: journald may be late.
            sent = _seconds(record.get("_SOURCE_REALTIME_TIMESTAMP")) or record.time
            sessions.append(Session(
                session=record.get(fields.SESSION), user=record.get(fields.USER), uid=int(record.get(fields.UID)),
                jail=record.get(fields.JAIL), key=record.get(fields.KEY), began=sent - took, ended=sent,
            ))  # fmt: skip


def _seconds(text: str) -> float | None:
    """Return a number of microseconds as seconds, None for what is none."""
    return int(text) / 1e6 if text.isascii() and text.isdecimal() and len(text) < _DIGITS else None


def session_of(changed: float, sessions: Iterable[Session]) -> Session:
    """Return which of an account's sessions a change at this time is told of.

    Of those that ran the one that began last; else, for what changed after the end, the last one that had begun.  By
    the clocks a change can lie before all of them: then the first.
    """

    def rank(each: Session) -> tuple[bool, bool, float]:
        begun = each.began <= changed
        return begun and changed <= each.ended, begun, each.began if begun else -each.began

    return max(sessions, key=rank)


_DIGITS = 18
_Which = tuple[int, str, str, str]
"""uid, account, session, and the name that it was closed under."""


class _Kind(Word):
    """The operations that say what was written, as sftp-server has them."""

    CLOSE = "close"
    RENAME = "rename"
    POSIX_RENAME = "posix-rename"


@dataclass(kw_only=True)
class Written:
    """A file that was written to and closed; all as the record has it, times in seconds since 1970.

    ``names``: as the jail shows it, first the one that it was closed under, then what it was renamed to, if that
    worked; none where the log has cut it.  ``amount``: bytes that were written through the last descriptor.
    """

    session: str
    user: str
    uid: int
    jail: str
    key: str
    names: list[str]
    amount: int
    closed: float


def collect(records: Iterable[JournalRecord], most: int) -> Iterator[list[Written]]:
    """Give what the records (oldest first) say was written, in portions of about ``most`` files.

    A file that a session closed several times in one portion is one.  Sessions are those of one uid: an account can
    send records about itself with the session of another, and these say nothing of that one's files.
    """
    found = _Portion()
    for record in records:
        for closed, amount, name in _operations(record):
            found.note(record, closed, amount, name)
        if len(found.files) >= most:
            yield list(found.files.values())
            found = _Portion()
    yield list(found.files.values())


class _Portion:
    """The files by the name that they were closed under, and those that have a name now: an account can rename often,
    and each of it finds what it is about at once."""

    def __init__(self) -> None:
        self.files: dict[_Which, Written] = {}
        self._now: dict[_Which, list[Written]] = {}

    def note(self, record: JournalRecord, closed: str, amount: int, new: str) -> None:
        session, uid, user = record.get(fields.SESSION), int(record.get(fields.UID)), record.get(fields.USER)
        which = (uid, user, session, closed)
        if new:
            moved = [each for each in self._now.pop(which, []) if len(each.names) < MOST_NAMES]
            for each in moved:
                each.names.append(new)
            if moved:
                self._now.setdefault((uid, user, session, new), []).extend(moved)
            return
        before = self.files.pop(which, None)
        if before and before.names:
            last = (uid, user, session, before.names[-1])
            self._now[last] = [each for each in self._now.get(last, []) if each is not before]
        self.files[which] = Written(
            session=session, user=user, uid=uid, jail=record.get(fields.JAIL),
            key=record.get(fields.KEY), names=[closed] if closed else [], closed=record.time,
            amount=amount + (before.amount if before else 0),
        )  # fmt: skip
        if closed:
            self._now.setdefault(which, []).append(self.files[which])


def _operations(record: JournalRecord) -> Iterator[tuple[str, int, str]]:
    """Give path, bytes and "" of each file that was written to, and old name, 0, new name of each renamed."""
    lines = file_lines(record)
    if lines:
        for line in lines:
            yield from _read(line)
        return
    path, new = unescaped(record.get(fields.PATH)), unescaped(record.get(fields.NEW_PATH))
    kind, amount = record.get(fields.OPERATION), record.get(fields.BYTES_WRITTEN)
    if kind == _Kind.CLOSE and amount.isascii() and amount.isdecimal() and len(amount) < 19 and int(amount):
        yield path, int(amount), ""
    elif kind == _Kind.CLOSE and not path:
        yield "", 0, ""
    elif kind in (_Kind.RENAME, _Kind.POSIX_RENAME) and path and new:
        yield path, 0, new


def _read(line: str) -> Iterator[tuple[str, int, str]]:
    if len(line.encode("utf-8", "surrogateescape")) >= _MAY_BE_CUT:
        if _CLOSED_CUT.match(line):
            yield "", 0, ""
    elif match := _CLOSED.match(line):
        if int(match[2]):
            yield unescaped(match[1]), int(match[2]), ""
    elif match := _RENAMED.match(line):
        old, between, new = match[1].partition(_BETWEEN)
        if between and _BETWEEN[1:] not in new:
            yield unescaped(old), 0, unescaped(new)


def unescaped(text: str) -> str:
    """Return a name as it is, of one as the log has it: ``\\\\`` and three octal digits, ``\\xNN`` of ours."""

    def byte(found: re.Match[bytes]) -> bytes:
        code = found[1]
        return code if code == b"\\" else bytes([int(code[1:], 16) if code[:1] == b"x" else int(code, 8)])

    raw = text.encode("utf-8", "surrogateescape")
    return re.sub(_ESCAPED.pattern.encode(), byte, raw).decode("utf-8", "surrogateescape")
