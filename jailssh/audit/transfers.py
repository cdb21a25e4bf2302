"""What sessions wrote, with its SHA-256: recorded in the journal after the close, and read there.

Up to where the log of file operations has been gone through is kept below the state directory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jailssh.audit.digests import MOST, Changed, Digest, Place, Unhashed, of_changed, of_each
from jailssh.audit.logbook import harmless
from jailssh.audit.written import Session, Written, session_of
from jailssh.core import journal_fields as fields
from jailssh.core.journal_fields import Event
from jailssh.core.names import escape, is_below
from jailssh.files import fs
from jailssh.host import accounts, journal
from jailssh.host.accounts import AccountEntry, UnansweredError
from jailssh.host.journal import JournalRecord
from jailssh.host.paths import Layout

CSV_HEAD = ("time", "session", "user", "uid", "key", "jail", "file", "size", "sha256", "why", "seconds", "found")
_VERSION = 1
_LIMIT = 4096

PlaceOf = Callable[[Written, str], Place]
"""Gives where a name in the jail is on the host; "" for what no directory of the host holds."""


def read_cursor(layout: Layout) -> str:
    """Return the place in the journal up to which all is recorded, "" where that is not known."""
    if os.path.lexists(_file(layout)):
        with suppress(ValueError, TypeError, KeyError):
            data = json.loads(fs.read_trusted(_file(layout), _LIMIT, trusted_root=layout.root or None))
            if data["version"] == _VERSION:
                return str(data["cursor"])
    return ""


def write_cursor(layout: Layout, cursor: str) -> None:
    """Keep it, at once; "" forgets it."""
    if cursor:
        fs.atomic_write(_file(layout), json.dumps({"version": _VERSION, "cursor": cursor}).encode(), mode=0o600)
    else:
        fs.remove_file(_file(layout))


def lock(layout: Layout) -> str:
    """Return the file whose lock keeps two from recording the same."""
    return f"{layout.state}/.transfers.lock"


def _file(layout: Layout) -> str:
    return f"{layout.state}/transfers.json"


def record(
    written: Sequence[Written],
    place_of: PlaceOf,
    now: Callable[[], float],
    spent: dict[int, float],
    told: dict[tuple[int, Place], float] | None = None,
) -> None:
    """Read the files as their accounts and write a record for each into the journal.

    ``spent``: seconds that each account has taken of this run, which grows.  ``told``: gets when each was closed.

    An account that is not the one that wrote them any more has none of them, and is told by its uid alone: the name is
    the sender's word, who may be another.
    """
    by_uid: dict[int, list[Written]] = {}
    owners = {uid: _owner(uid) for uid in {each.uid for each in written}}
    strangers = []
    for each in written:
        owner = owners[each.uid]
        if owner and owner.name == each.user:
            by_uid.setdefault(each.uid, []).append(each)
        else:
            strangers.append(each)
    entries = [owner for uid in by_uid if (owner := owners[uid])]
    asked = {uid: [[place_of(each, name) for name in each.names] for each in by_uid[uid][:MOST]] for uid in by_uid}
    found = of_each(asked, entries, spent)
    for uid, files in by_uid.items():
        digests = found.get(uid, [Digest(why=Unhashed.GONE)] * len(files))
        digests += [Digest(why=Unhashed.MUCH)] * (len(files) - len(digests))
        for each, digest in zip(files, digests, strict=True):
            if told is not None and each.names:
                told[uid, place_of(each, each.names[digest.name])] = each.closed
            _tell(each, each.user, digest if each.names else Digest(why=Unhashed.CUT), now())
    for each in strangers:
        _tell(each, str(each.uid), Digest(why=Unhashed.GONE), now())


Shown = tuple[str, str]
"""A directory that sessions can write to, as the jail names it, and the host's that it is."""
SLACK = 0.02
"""Seconds by which the time of a change may be too early: file systems take that of the kernel's last tick."""


def record_changed(
    sessions: Sequence[Session],
    shown: Callable[[Session], Sequence[Shown]],
    is_shown: Callable[[Session, str], bool],
    told: Mapping[tuple[int, Place], float],
    now: Callable[[], float],
    spent: dict[int, float],
) -> None:
    """Write a record for each file that changed since ``sessions`` began that told nobody what they wrote.

    ``shown``: where a session can write; ``is_shown``: whether the jail shows this name there, or hides it.  ``told``:
    when files were closed of which there is a record already.  ``spent``: as for :func:`record`.
    """
    by_uid: dict[int, list[Session]] = {}
    for each in sessions:
        by_uid.setdefault(each.uid, []).append(each)
    entries, asked, names = [], {}, {}
    for uid, own in by_uid.items():
        owner = _owner(uid)
        mine = [each for each in own if owner and owner.name == each.user]
        if owner and mine:
            entries.append(owner)
            by_uid[uid], names[uid] = mine, _outermost({place for each in mine for place in shown(each)})
            asked[uid] = [source for _, source in names[uid]], min(each.began for each in mine) - SLACK
    for uid, found in of_changed(asked, entries, spent).items():
        for changed in found:
            target, source = names[uid][changed.top] if names[uid] else ("", "")
            closed = told.get((uid, (source, changed.path)), 0.0)
            if changed.changed is None or changed.changed > closed + SLACK:
                _tell_changed(changed, target, by_uid[uid], is_shown, now())


def _outermost(shown: set[Shown]) -> list[Shown]:
    """Leave out directories that are below another one of the host's."""
    by_source = {source: target for target, source in sorted(shown, reverse=True)}
    return [(target, source) for source, target in sorted(by_source.items())
            if not any(source != other and is_below(source, other) for other in by_source)]  # fmt: skip


def _tell_changed(
    each: Changed,
    target: str,
    sessions: Sequence[Session],
    is_shown: Callable[[Session, str], bool],
    now: float,
) -> None:
    when = each.changed if each.changed is not None else max(session.ended for session in sessions)
    of = session_of(when, sessions)
    path = f"{target.rstrip('/')}/{each.path}" if each.path else target
    if each.path and not is_shown(of, path):
        return
    name = "(all places)" if each.digest.why in (Unhashed.HIDDEN, Unhashed.SILENT) and not each.path else path
    _write(of, name, each.digest, {fields.PATH: path, fields.FOUND: "ctime"}, now - when)


def _owner(uid: int) -> AccountEntry | None:
    try:
        return accounts.find_uid(uid)
    except UnansweredError:
        return None


def _tell(each: Written, user: str, digest: Digest, now: float) -> None:
    name = each.names[digest.name] if each.names else "(a name that is too long)"
    own = {fields.BYTES_WRITTEN: str(each.amount), fields.PATH: name if each.names else ""}
    _write(each, name, digest, own, now - each.closed, user)


def _write(
    each: Written | Session, name: str, digest: Digest, own: Mapping[str, str], ago: float, user: str = ""
) -> None:
    """Write the record; ``own``: what it has beside what all have; ``user``: if that is not the one of ``each``."""
    user = user or each.user
    said = f"sha256 {digest.sha256}" if digest.sha256 else f"no sha256: {digest.why}"
    told = {
        fields.USER: user, fields.UID: str(each.uid), fields.JAIL: each.jail, fields.SESSION: each.session,
        fields.DURATION: str(max(0, int(ago * 1e6))), **own,
        fields.KEY: each.key, fields.SHA256: digest.sha256,
        fields.SIZE: "" if digest.size is None else str(digest.size), fields.UNHASHED: digest.why or "",
    }  # fmt: skip
    verb = "changed" if fields.FOUND in own else "wrote"
    kept = {field: value for field, value in told.items() if value}
    journal.record(Event.TRANSFER, f"{user}: {verb} {name}: {said}", kept, priority="6")


def recorded(record: JournalRecord) -> bool:
    """True for a record of root's: an account could send others about itself."""
    return record.get(fields.EVENT) == Event.TRANSFER and record.get("_UID") == "0" and record.genuine


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A file that was written, as the journal has it; escaped.

    ``time``: when it was read, ``seconds``: how long that was after the close, or the last change.  ``found``: by the
    log of file operations, or by its ctime.
    """

    time: float
    when: str
    session: str
    user: str
    uid: str
    key: str
    jail: str
    file: str
    size: str
    sha256: str
    why: str
    seconds: float | None
    found: str

    def line(self) -> str:
        """Return it for people."""
        said = self.sha256 or f"no SHA-256: {self.why}"
        who = self.user + (f"/{self.key}" if self.key else "")
        file = self.file + (" (by its change)" if self.found != "log" else "")
        return f"{self.when}  {who:<16}  {self.size or '-':>12}  {said}  {file}"

    def facts(self) -> dict[str, object]:
        """Return it for JSON, without what the record does not tell."""
        every: Mapping[str, object] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        numbers = {"size": int(self.size)} if self.size.isdecimal() else {}
        return {name: value for name, value in every.items() if value not in (None, "") and name != "when"} | numbers

    def row(self) -> list[str]:
        """Return its row for CSV, see :data:`CSV_HEAD`."""
        texts = (self.session, self.user, self.uid, self.key, self.jail, self.file, self.size, self.sha256, self.why)
        return [self.when, *map(harmless, texts), "" if self.seconds is None else f"{self.seconds:.3f}",
                harmless(self.found)]  # fmt: skip


def transfer(record: JournalRecord) -> Transfer:
    """Return what the record tells."""

    def get(field: str) -> str:
        return escape(record.get(field), _LIMIT)

    spent = get(fields.DURATION)
    return Transfer(
        time=record.time, when=record.when, session=get(fields.SESSION), user=get(fields.USER), uid=get(fields.UID),
        key=get(fields.KEY), jail=get(fields.JAIL), file=get(fields.PATH), size=get(fields.SIZE),
        sha256=get(fields.SHA256), why=get(fields.UNHASHED),
        seconds=int(spent) / 1e6 if spent.isascii() and spent.isdecimal() else None,
        found=get(fields.FOUND) or "log",
    )  # fmt: skip
