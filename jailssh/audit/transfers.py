"""What sessions wrote, with its SHA-256: recorded in the journal after the close, and read there.

Up to where the log of file operations has been gone through is kept below the state directory.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jailssh.audit.digests import Digest, Place, Unhashed, of_each
from jailssh.audit.logbook import harmless
from jailssh.audit.written import Written
from jailssh.core import journal_fields as fields
from jailssh.core.journal_fields import Event
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.host import accounts, journal
from jailssh.host.accounts import AccountEntry, UnansweredError
from jailssh.host.journal import JournalRecord
from jailssh.host.paths import Layout

CSV_HEAD = ("time", "session", "user", "uid", "key", "jail", "file", "size", "sha256", "why", "seconds")
MOST = 5000
"""Files of one account that are looked at in one go; the others are recorded without their SHA-256."""
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


def record(written: Sequence[Written], place_of: PlaceOf, now: Callable[[], float], spent: dict[int, float]) -> None:
    """Read the files as their accounts and write a record for each into the journal.

    ``spent``: seconds that each account has taken of this run, which grows.

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
            _tell(each, each.user, digest if each.names else Digest(why=Unhashed.CUT), now())
    for each in strangers:
        _tell(each, str(each.uid), Digest(why=Unhashed.GONE), now())


def _owner(uid: int) -> AccountEntry | None:
    try:
        return accounts.find_uid(uid)
    except UnansweredError:
        return None


def _tell(each: Written, user: str, digest: Digest, now: float) -> None:
    name = each.names[digest.name] if each.names else "(a name that is too long)"
    said = f"sha256 {digest.sha256}" if digest.sha256 else f"no sha256: {digest.why}"
    told = {
        fields.USER: user, fields.UID: str(each.uid), fields.JAIL: each.jail, fields.SESSION: each.session,
        fields.BYTES_WRITTEN: str(each.amount), fields.DURATION: str(max(0, int((now - each.closed) * 1e6))),
    }  # fmt: skip
    optional = {
        fields.KEY: each.key, fields.PATH: name if each.names else "", fields.SHA256: digest.sha256,
        fields.SIZE: "" if digest.size is None else str(digest.size), fields.UNHASHED: digest.why or "",
    }  # fmt: skip
    told |= {field: value for field, value in optional.items() if value}
    journal.record(Event.TRANSFER, f"{user}: wrote {name}: {said}", told, priority="6")


def recorded(record: JournalRecord) -> bool:
    """True for a record of root's: an account could send others about itself."""
    return record.get(fields.EVENT) == Event.TRANSFER and record.get("_UID") == "0" and record.genuine


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """A file that was written, as the journal has it; escaped.

    ``time``: when it was read, ``seconds``: how long that was after the close.
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

    def line(self) -> str:
        """Return it for people."""
        said = self.sha256 or f"no SHA-256: {self.why}"
        who = self.user + (f"/{self.key}" if self.key else "")
        return f"{self.when}  {who:<16}  {self.size or '-':>12}  {said}  {self.file}"

    def facts(self) -> dict[str, object]:
        """Return it for JSON, without what the record does not tell."""
        every: Mapping[str, object] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        numbers = {"size": int(self.size)} if self.size.isdecimal() else {}
        return {name: value for name, value in every.items() if value not in (None, "") and name != "when"} | numbers

    def row(self) -> list[str]:
        """Return its row for CSV, see :data:`CSV_HEAD`."""
        texts = (self.session, self.user, self.uid, self.key, self.jail, self.file, self.size, self.sha256, self.why)
        return [self.when, *map(harmless, texts), "" if self.seconds is None else f"{self.seconds:.3f}"]


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
    )  # fmt: skip
