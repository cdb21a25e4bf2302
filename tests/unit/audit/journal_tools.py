"""Records as libsystemd gives them, and a journal of them in memory."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from jailssh.host.journal import JournalRecord
from jailssh.services.journal_reader import convert

BEGIN = 1_790_000_000.0
Value = str | bytes | list[bytes]


def raw(event: str = "session-start", uid: int = 1000, sender: int | None = None, **more: Value) -> dict[str, object]:
    """Return the fields of one record; ``more`` without JAILSSH_, or in full where it has an underscore in front."""
    own: dict[str, Value] = {"EVENT": event, "USER": "alice", "UID": str(uid), "JAIL": "sftp-only", **more}
    fields: dict[str, Value] = {"_UID": str(uid if sender is None else sender), "_COMM": "jailssh-login"}
    for name, value in own.items():
        fields[name if name.startswith("_") or name == "MESSAGE" else f"JAILSSH_{name}"] = value
    return {name: value.encode() if isinstance(value, str) else value for name, value in fields.items()}


def record(event: str = "session-start", time: float = BEGIN, **more: Value) -> JournalRecord:
    """Return the record that is read of these fields."""
    uid, sender = int(str(more.pop("uid", "1000"))), more.pop("sender", None)
    return convert(raw(event, uid, int(str(sender)) if sender is not None else None, **more), int(time * 1e6))


class FakeJournal:
    """A journal in memory; what is None in the place of fields is damaged."""

    def __init__(self, rows: Sequence[tuple[float, Mapping[str, object] | None]]) -> None:
        self.rows = list(rows)
        self.place = -1.0
        self.read = 0

    def _next(self, skip: int = 1) -> bool:
        if math.floor(self.place) + 1 >= len(self.rows):
            return False
        self.place = math.floor(self.place) + 1
        return True

    def _previous(self, skip: int = 1) -> bool:
        if math.ceil(self.place) <= 0:
            return False
        self.place = math.ceil(self.place) - 1
        return True

    def _get_all(self) -> Mapping[str, object]:
        self.read += 1
        found = self.rows[int(self.place)][1]
        if found is None:
            raise OSError(74, "Bad message")
        return found

    def _get_realtime(self) -> int:
        return int(self.rows[int(self.place)][0] * 1e6)

    def _get_cursor(self) -> str:
        return str(int(self.place))

    def seek_realtime(self, realtime: int) -> None:
        # As sd_journal_seek_realtime_usec(3): between two records.
        self.place = next((n for n, row in enumerate(self.rows) if row[0] * 1e6 >= realtime), len(self.rows)) - 0.5

    def seek_cursor(self, cursor: str) -> None:
        self.place = int(cursor) - 1

    def seek_head(self) -> None:
        self.place = -1

    def seek_tail(self) -> None:
        self.place = len(self.rows)
