"""Records of the journal in files of text: one JSON object a line, as rsyslogd(8) and journalctl(1) write them.

A field that was sent several times is a list in what ``journalctl -o json`` prints; rsyslog's imjournal keeps its last
value alone.  Bytes that are not UTF-8 are a list of numbers.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from heapq import merge
from typing import Any, BinaryIO

from jailssh.core.errors import HostError
from jailssh.core.journal_fields import FILE, HOSTNAME, LOST
from jailssh.core.names import escape, is_number, pluralize
from jailssh.host.journal import JournalRecord
from jailssh.services.journal_reader import Wanted, convert, is_within

STDIN = "-"
_LONGEST = 1 << 20
"""Bytes of a line: the login program's records have 64 KiB, and JSON may need six for one."""
_TIMES = ("__REALTIME_TIMESTAMP", "_SOURCE_REALTIME_TIMESTAMP")
"""Microseconds since 1970, where the journal tells them."""
_WORDS = ("timereported", "timestamp", "@timestamp", "timegenerated")
"""RFC 3339, where a collector does."""
_HOSTS = ("hostname", "host", "fromhost")


class RecordFiles:
    """The records with certain fields in files, STDIN for standard input; for a :class:`Journal` of other hosts.

    ``matches``: field -> values, one of which it has; ``only``: see
    :func:`jailssh.services.journal_reader.convert`.  Raises :class:`HostError` for a file that cannot be opened.
    """

    def __init__(
        self, paths: Sequence[str], matches: Mapping[str, Sequence[str]], wanted: Wanted, only: Collection[str] = ()
    ) -> None:
        self._wanted, self._only = wanted, only
        self._matches = {field: frozenset(values) for field, values in matches.items()}
        self._files: dict[str, BinaryIO] = {}
        self._torn: dict[str, int] = {}
        self._open = ExitStack()
        try:
            for path in paths:
                self._files[path] = self._opened(path)
        except BaseException:
            self.close()
            raise

    @property
    def records(self) -> RecordFiles:
        """Return this: what reads a journal has its reader there."""
        return self

    def _opened(self, path: str) -> BinaryIO:
        if path == STDIN:
            return sys.stdin.buffer
        try:
            # What is no file, as a FIFO that nobody writes to, would be waited for.
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise HostError(escape(path), os.strerror(error.errno or 0).lower()) from None
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise HostError(escape(path), "is not a regular file", hint="of a pipe: -")
        return self._open.enter_context(os.fdopen(fd, "rb"))

    def between(self, since: float | None, until: float | None) -> Iterator[JournalRecord]:
        """Yield what was written in this time (seconds since 1970; None: no bound), of several files by time."""
        found = [self._read(path, file) for path, file in self._files.items()]
        for record in found[0] if len(found) == 1 else merge(*found, key=lambda record: record.time):
            if is_within(record.time, since, until):
                yield record

    def newest(self, count: int, since: float | None, until: float | None) -> list[JournalRecord]:
        """Return the last ``count`` of these, as they stand in the files."""
        return list(deque(self.between(since, until), count))

    def look_for_deleted(self) -> None:
        """Do nothing: an open file stays whole."""

    def missing(self) -> list[str]:
        """Return what is missing in what was read, for people."""
        return [
            f"{'standard input' if path == STDIN else escape(path)}: {pluralize(count, 'line')} cannot be read as"
            " a JSON object with a time"
            for path, count in self._torn.items()
        ]

    def close(self) -> None:
        """Close the files."""
        self._open.close()

    def _read(self, path: str, file: BinaryIO) -> Iterator[JournalRecord]:
        while line := file.readline(_LONGEST):
            if not line.endswith(b"\n") and len(line) == _LONGEST:
                while (rest := file.readline(_LONGEST)) and not rest.endswith(b"\n"):
                    pass
                self._count(path)
                continue
            # Of programs in between, which may write empty lines.
            if not line.strip():
                continue
            fields = _fields(line)
            if fields is None or (time := _time(fields)) is None:
                self._count(path)
                continue
            record = self._converted(fields, time)
            if self._is_match(record) and self._wanted(record):
                yield record

    def _count(self, path: str) -> None:
        self._torn[path] = self._torn.get(path, 0) + 1

    def _converted(self, fields: Mapping[str, Any], time: float) -> JournalRecord:
        raw = {name: value for name, each in fields.items() if (value := _raw(each)) is not None}
        if HOSTNAME not in raw:
            found = next((raw[name] for name in _HOSTS if isinstance(raw.get(name), bytes)), None)
            raw.update({HOSTNAME: found} if found is not None else {})
        line = raw.get(FILE)
        if isinstance(line, bytes) and LOST not in raw:
            # Of several lines, which are numbered, the others have not come along.
            number = line.split(b" ", 1)[0]
            if number.isdigit() and int(number[:6]) > 1:
                raw[LOST] = b"%d" % (int(number[:6]) - 1)
        only = {*self._only, *self._matches} if self._only else ()
        return convert(raw, int(time * 1e6), only)

    def _is_match(self, record: JournalRecord) -> bool:
        return all(
            record.get(field) in values or not values.isdisjoint(record.several.get(field, ()))
            for field, values in self._matches.items()
        )


def _fields(line: bytes) -> Mapping[str, Any] | None:
    """Return the fields of a line, those of rsyslog's ``%jsonmesg%`` from within it; None for what is no object."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    within = found.get("$!")
    return {**found, **within} if isinstance(within, dict) else found


def _time(fields: Mapping[str, Any]) -> float | None:
    for name in _TIMES:
        text = fields.get(name)
        if isinstance(text, str) and is_number(text) and len(text) < 19:
            return int(text) / 1e6
    for name in _WORDS:
        text = fields.get(name)
        if isinstance(text, str):
            try:
                return datetime.fromisoformat(text).timestamp()
            except (ValueError, OverflowError):
                continue
    return None


def _raw(value: object) -> bytes | list[bytes] | None:
    """Return a value as libsystemd gives it: bytes, or several of them; None for what a journal does not have."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if not isinstance(value, list) or not value:
        return None
    if all(type(each) is int and 0 <= each < 256 for each in value):
        return bytes(value)
    several = [_raw(each) for each in value]
    return [each for each in several if isinstance(each, bytes)] or None
