"""Records of the journal as what they tell: who, from where, with which key, in which jail, did what.  Pure.

Whatever comes from a record is escaped here, whether it is printed as a table, as JSON or as CSV: no control character
and no byte that is not UTF-8 gets out.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jailssh.core import journal_fields as fields
from jailssh.core.errors import UsageError
from jailssh.core.journal_fields import PORTS, REASONS, Event
from jailssh.core.names import escape, is_number
from jailssh.host.journal import JournalRecord

LOGINS = (Event.SESSION_START, Event.SESSION_END, Event.FILE_OPERATION, Event.DENIED, Event.REFUSED)
"""What a login writes; everything else is about the host and its set-up."""
INTERACTIVE = "interactive login"
CSV_HEAD = (
    "time", "event", "session", "user", "uid", "key", "jail", "peer", "command", "reason", "meaning", "file", "exit",
    "seconds", "message",
)  # fmt: skip
HOST = "host"
"""The last column where the records are of several hosts."""
_LONGEST = 4200
"""Characters of a value: the login program writes up to 4096 bytes."""
_ACTIVE = ("=", "+", "-", "@")
"""What a spreadsheet takes for the beginning of a formula."""

OwnerOf = Callable[[str], int | None]
"""Gives the uid that an account name has today, None where nobody has it."""


@dataclass(frozen=True)
class Query:
    """What is asked for; empty tuples and None ask for nothing in particular."""

    users: Sequence[str] = ()
    jails: Sequence[str] = ()
    keys: Sequence[str] = ()
    events: Sequence[str] = LOGINS
    reasons: Sequence[str] = ()
    sessions: Sequence[str] = ()
    peers: Sequence[str] = ()
    hosts: Sequence[str] = ()
    _networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network] = field(init=False, default=())

    def __post_init__(self) -> None:
        """Read the addresses; :class:`UsageError` for what is none."""
        object.__setattr__(self, "_networks", tuple(_network(each) for each in self.peers))

    def matches(self) -> dict[str, Sequence[str]]:
        """Return what the journal itself can look up: field -> values, one of which the record has."""
        uids = [each for each in self.users if is_number(each)]
        names = [each for each in self.users if not is_number(each)]
        found = {
            fields.EVENT: self.events,
            fields.JAIL: self.jails,
            fields.KEY: self.keys,
            fields.REASON: self.reasons,
            fields.SESSION: self.sessions,
            fields.HOSTNAME: self.hosts,
            # Names and uids together would have to be in the same record.
            fields.USER: names if not uids else (),
            fields.UID: uids if not names else (),
        }
        return {name: values for name, values in found.items() if values}

    def wants(self, record: JournalRecord) -> bool:
        """True for a record that counts and that the journal's own look-up alone cannot tell from others."""
        return (
            counts(record)
            and (not self.users or record.get(fields.USER) in self.users or record.get(fields.UID) in self.users)
            and (not self._networks or self._is_from(record.get(fields.PEER)))
        )

    def _is_from(self, peer: str) -> bool:
        try:
            address = ipaddress.ip_address(peer.partition(" ")[0].partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._networks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise UsageError(f"--peer {escape(text, 60)}", "is not an address or network such as 192.0.2.7 or 192.0.2.0/24"
        ) from None  # fmt: skip


def counts(record: JournalRecord) -> bool:
    """True unless somebody else than root, or the account that the record is about, may have sent it."""
    return record.genuine or (record.get("_UID") == "0" and fields.UID not in record.several)


@dataclass(frozen=True)
class Entry:
    """One record, escaped; ``command`` is None where none was asked for, ``files`` are lines of sftp-server's log.

    ``time`` is in seconds since 1970, ``seconds`` is the duration; ``uid`` is None where the record tells none.
    """

    time: float
    when: str
    event: str
    session: str
    user: str
    uid: int | None
    key: str
    jail: str
    peer: str
    rule: str
    command: str | None
    reason: str
    meaning: str
    files: tuple[str, ...]
    lost: int | None
    exit: int | None
    seconds: float | None
    message: str
    host: str = ""

    def what(self) -> list[str]:
        """Return what was done, one line each."""
        command = INTERACTIVE if self.command is None else self.command
        why = f"{self.reason} ({self.meaning})" if self.meaning else self.reason or self.message
        if self.event == Event.SESSION_START:
            return [command]
        if self.event == Event.SESSION_END and self.command == PORTS:
            return [f"{PORTS} ended"]
        if self.event == Event.SESSION_END:
            spent = "" if self.seconds is None else f" after {self.seconds:.1f} s"
            return [f"exit {'?' if self.exit is None else self.exit}{spent}{f': {why}' if self.reason else ''}"]
        if self.event == Event.DENIED:
            return [why if self.command is None else f"{self.command}: {why}"]
        if self.event == Event.REFUSED:
            return [why]
        lost = [f"{self.lost} lines before it are lost"] if self.lost and self.event == Event.FILE_OPERATION else []
        return [*lost, *(self.files or (self.message,))]

    def facts(self) -> dict[str, object]:
        """Return it for JSON, without what the record does not tell."""
        every = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "when"}
        return {name: value for name, value in every.items() if value not in (None, "", ())}

    def csv(self) -> list[list[str | int | float]]:
        """Return its rows for CSV, see :data:`CSV_HEAD`: one for each file operation, else one."""
        rows: list[list[str | int | float]] = []
        for file in self.files or ("",):
            texts = (self.session, self.user, self.key, self.jail, self.peer, self.command or "", self.reason,
                     self.meaning, file, self.message)  # fmt: skip
            session, user, key, jail, peer, command, reason, meaning, shown, message = map(harmless, texts)
            numbers = ["" if value is None else value for value in (self.uid, self.exit, self.seconds)]
            rows.append([
                self.when, harmless(self.event), session, user, numbers[0], key, jail, peer, command, reason, meaning,
                shown, numbers[1], numbers[2], message, *((harmless(self.host),) if self.host else ()),
            ])  # fmt: skip
        return rows


def harmless(text: str) -> str:
    """Return ``text`` so that no spreadsheet takes it for a formula: with an apostrophe in front."""
    # A spreadsheet may leave out blanks in front, and takes the full-width forms too.
    first = text.lstrip()[:1]
    return f"'{text}" if first in _ACTIVE or first in ("＝", "＋", "－", "＠") else text


def entry(record: JournalRecord, *, of_many: bool = False) -> Entry:
    """Return what the record tells; ``of_many``: which host it is of, too."""
    get = record.get
    user, reason = get(fields.USER), get(fields.REASON)
    message = get("MESSAGE")
    event = get(fields.EVENT)
    spent = _number(get(fields.DURATION))
    if user and message.startswith(user):  # the login program puts the account in front, see journal_name()
        name, colon, text = message.partition(": ")
        message = text if colon and (name == user or name == f"{user} ({get(fields.KEY)})") else message
    files = file_lines(record) or ((message,) if event == Event.FILE_OPERATION else ())
    return Entry(
        time=record.time, when=record.when, event=_clean(event), session=_clean(get(fields.SESSION)),
        user=_clean(user), uid=_number(get(fields.UID)), key=_clean(get(fields.KEY)), jail=_clean(get(fields.JAIL)),
        peer=_clean(get(fields.PEER)), rule=_clean(get(fields.RULE)),
        command=_clean(get(fields.COMMAND)) if fields.COMMAND in record.fields else None,
        reason=_clean(reason), meaning=REASONS.get(reason, ""), files=tuple(_clean(each) for each in files),
        lost=_number(get(fields.LOST)), exit=_number(get(fields.EXIT)), seconds=None if spent is None else spent / 1e6,
        message=_clean(message), host=_clean(get(fields.HOSTNAME)) or "unknown" if of_many else "",
    )  # fmt: skip


def file_lines(record: JournalRecord) -> tuple[str, ...]:
    """Return the lines of several operations in their order: journald keeps none, so each has a number in front."""
    lines = record.several.get(fields.FILE) or ([record.get(fields.FILE)] if record.get(fields.FILE) else [])
    numbered = []
    for line in lines:
        number, _, text = line.partition(" ")
        place = _number(number)
        numbered.append((0, line) if place is None else (place, text))
    return tuple(text for _, text in sorted(numbered))


def _clean(text: str) -> str:
    # Most are plain; escaping goes character by character.
    return text if text.isascii() and text.isprintable() and len(text) <= _LONGEST else escape(text, _LONGEST)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None


class Table:
    """Lines for people.  ``owner_of``: a name that is another account's today is shown with the record's uid.

    ``of_many``: each line says which host it is of.
    """

    HEAD = ("TIME", "EVENT", "USER", "JAIL", "FROM", "WHAT")
    _WIDTHS = (25, 14, 16, 14, 15)

    def __init__(self, owner_of: OwnerOf, *, of_many: bool = False) -> None:
        self._owner_of = owner_of
        self._head = ("TIME", "HOST", *self.HEAD[1:]) if of_many else self.HEAD
        self._widths = (25, 16, *self._WIDTHS[1:]) if of_many else self._WIDTHS
        self._names: dict[tuple[str, int | None], str] = {}

    def head(self) -> str:
        """Return the line above the others."""
        return self._line(self._head)

    def lines(self, one: Entry) -> list[str]:
        """Return the lines of one entry: one for each file operation, else one."""
        who = self._who(one.user, one.uid) + (f"/{one.key}" if one.key else "")
        host = (one.host,) if one.host else ()
        first = (one.when, *host, one.event, who or "-", one.jail or "-", one.peer.partition(" ")[0] or "-")
        return [self._line((*first, text)) for text in one.what()]

    def _line(self, cells: Sequence[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, self._widths, strict=False)]
        return "  ".join([*padded, cells[-1]])

    def _who(self, name: str, uid: int | None) -> str:
        if (name, uid) not in self._names:
            same = uid is None or self._owner_of(name) == uid
            self._names[name, uid] = name if same else f"{name}[{uid}]"
        return self._names[name, uid]
