"""The recordings of sessions at a terminal: found, listed, read, and searched.

A recording is asciicast, version 2: a header and one event a line, as ``login/outer/cast.c`` writes them.  What is in
it comes from a jail, so nothing of it reaches a terminal but through :mod:`jailssh.audit.screen`.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import IO, Any

from jailssh.core.closed import Word
from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import escape

SUFFIX = ".cast"
MAX_LINE = 1 << 20
"""Bytes of a line: more is no event of ours."""
_TAIL = 1 << 16
_NAME = re.compile(r"(?P<account>.+)\.(?P<session>[0-9a-f]{16})\.cast\Z")


class Code(Word):
    """What an event is: shown, typed, or another size of the terminal."""

    SHOWN = "o"
    TYPED = "i"
    SIZE = "r"


@dataclass(frozen=True, kw_only=True)
class Head:
    """The beginning: ``started`` in seconds since 1970; ``command`` is "" for a login without one."""

    account: str
    session: str
    started: int
    width: int
    height: int
    terminal: str
    command: str


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A recording: its ``path``, its head (None: it cannot be read), seconds that it covers, and bytes."""

    path: str
    account: str
    session: str
    head: Head | None
    seconds: float
    size: int


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One event: ``at`` in seconds since the beginning."""

    at: float
    code: Code
    text: str


class Recording:
    """An open recording.  ``faults``: how many of its lines could not be read so far."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.faults = 0
        self._stream = _opened(path)
        try:
            self.head = self._head()
        except BaseException:
            self._stream.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def events(self) -> Iterator[Recorded]:
        """Yield the events in their order; what is no event is counted and left out."""
        for line in _lines(self._stream):
            event = _event(line)
            if event is None:
                self.faults += 1
            else:
                yield event

    def _head(self) -> Head:
        head = _object(next(_lines(self._stream), b""))
        if head.get("version") != 2:
            raise HostError(escape(self.path), "is not a recording: asciicast, version 2")
        account, session = _names(self.path)
        env = head.get("env")
        return Head(
            account=account or _text(head, "title"),
            session=session,
            started=_number(head, "timestamp"),
            width=_number(head, "width") or 80,
            height=_number(head, "height") or 24,
            terminal=_text(env, "TERM") if isinstance(env, dict) else "",
            command=_text(head, "command"),
        )


def listed(folder: str, account: str = "") -> list[Listed]:
    """Return the recordings in a directory, of one account where it is named, the oldest first."""
    found = []
    for path in paths_of(folder, account):
        owner, session = _names(path)
        try:
            with closing(Recording(path)) as recording:
                head, seconds, size = recording.head, _last_moment(path), os.stat(path).st_size
        except (HostError, OSError):
            head, seconds, size = None, 0.0, 0
        found.append(Listed(path=path, account=owner, session=session, head=head, seconds=seconds, size=size))
    return sorted(found, key=lambda each: (each.head.started if each.head else 0, each.path))


def paths_of(folder: str, account: str = "") -> list[str]:
    """Return the files of the recordings in a directory, of one account where it is named; none without a directory."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    found = [f"{folder}/{name}" for name in names if _NAME.match(name)]
    return [path for path in found if account in ("", _names(path)[0])]


def path_of(folder: str, wanted: str) -> str:
    """Return the file that ``wanted`` means: a path, a name in the directory, or the beginning of a session's id."""
    if "/" in wanted:
        return wanted
    fits = [path for path in paths_of(folder) if os.path.basename(path) == wanted or _names(path)[1].startswith(wanted)]
    if len(fits) == 1:
        return fits[0]
    why = "is the beginning of several sessions" if fits else "is no session with a recording"
    raise UsageError(escape(wanted), why, hint="jailssh replay lists them")


def _opened(path: str) -> IO[bytes]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        raise HostError(escape(path), f"cannot be opened: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise HostError(escape(path), "is not a regular file")
    return os.fdopen(fd, "rb")


def _lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines; of one that is too long a part, which is no event."""
    while line := stream.readline(MAX_LINE):
        yield line


def _names(path: str) -> tuple[str, str]:
    named = _NAME.match(os.path.basename(path))
    return (named["account"], named["session"]) if named else ("", "")


def _event(line: bytes) -> Recorded | None:
    try:
        at, code, text = json.loads(line)
        if not isinstance(text, str) or not math.isfinite(at):
            return None
        return Recorded(at=max(0.0, float(at)), code=Code(code), text=text)
    except (ValueError, TypeError, RecursionError, OverflowError):
        return None


def _object(line: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _number(found: Mapping[str, Any], key: str) -> int:
    value = found.get(key)
    return value if isinstance(value, int) and 0 <= value < 1 << 53 else 0


def _last_moment(path: str) -> float:
    """Return when the last event was, in seconds since the beginning; 0 without one."""
    with _opened(path) as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL))
        lines = reversed(stream.read().split(b"\n"))
    return next((event.at for line in lines if (event := _event(line))), 0.0)
