"""Reading the journal record by record, as fast as it can be read, also one that is still being written.

Records come from libsystemd as they are and only what is needed of them is converted: the binding's own way takes five
times as long.  What anybody may send is judged before it is shown: see :attr:`JournalRecord.genuine`.
"""

from __future__ import annotations

import errno
import glob
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from jailssh.core.errors import HostError, JailsshError
from jailssh.core.journal_fields import HOSTNAME
from jailssh.core.names import escape, pluralize
from jailssh.host.journal import JournalRecord

_DIRECTORIES = ("/var/log/journal", "/run/log/journal")
_OS_ROOT = 1 << 4
"""SD_JOURNAL_OS_ROOT of sd_journal_open(3), for which the binding has no name."""
_LONGEST = 65536
"""Bytes of a value that are kept: the login program's records hold no more altogether."""
_MOST_FILES = 7168
"""So many files libsystemd opens (sd-journal.c: JOURNAL_FILES_MAX)."""
_SPARE = 8
_SLACK = 3600
"""Seconds around a range of time that are read too: the clock may have been set back meanwhile."""
_FOREIGN = ("MESSAGE", "_UID", "_SYSTEMD_UNIT", HOSTNAME)
_OURS = "JAILSSH_"

Wanted = Callable[[JournalRecord], bool]


class Source(Protocol):
    """What is used of ``systemd.journal.Reader``; a test can have another one."""

    def _next(self, skip: int = ...) -> bool: ...
    def _previous(self, skip: int = ...) -> bool: ...
    def _get_all(self) -> Mapping[str, Any]: ...
    def _get_realtime(self) -> int: ...
    def _get_cursor(self) -> str: ...
    def seek_realtime(self, realtime: int) -> None:
        """To the first record from then on (µs since 1970)."""

    def seek_cursor(self, cursor: str) -> None:
        """To the record with this cursor."""

    def seek_head(self) -> None:
        """In front of the oldest record."""

    def seek_tail(self) -> None:
        """Behind the newest record."""


def convert(raw: Mapping[str, Any], realtime: int, only: Collection[str] = ()) -> JournalRecord:
    """Return the record with the fields that libsystemd gives (bytes, or a list of them), of ``realtime`` µs.

    Bytes that are not UTF-8 become surrogates; a field that was sent several times stands in ``several`` alone.
    ``only``: the names of the fields that are needed, where that is not all of ours.
    """
    fields: dict[str, str] = {}
    several: dict[str, tuple[str, ...]] = {}
    for name in only or [name for name in raw if name.startswith(_OURS) or name in _FOREIGN]:
        value = raw.get(name)
        if isinstance(value, bytes):
            fields[name] = value[:_LONGEST].decode("utf-8", "surrogateescape")
        elif isinstance(value, list):
            several[name] = tuple(each[:_LONGEST].decode("utf-8", "surrogateescape") for each in value)
    return JournalRecord("", realtime / 1e6, fields, several)


class JournalReader:
    """The records with certain fields; ``unreadable`` counts those that are damaged and were left out.

    ``only``: see :func:`convert`.
    """

    def __init__(self, source: Source, wanted: Wanted, only: Collection[str] = ()) -> None:
        self._source = source
        self._wanted = wanted
        self._only = only
        self.unreadable = 0
        self.cursor = ""

    def between(self, since: float | None, until: float | None) -> Iterator[JournalRecord]:
        """Yield what was written in this time (seconds since 1970; None: no bound), as it was written."""
        if since is None:
            self._source.seek_head()
        else:
            self._source.seek_realtime(max(0, int((since - _SLACK) * 1e6)))
        while self._step(self._source._next):
            record = self._here()
            if record is None:
                continue
            if until is not None and record.time > until + _SLACK:
                return
            if is_within(record.time, since, until) and self._wanted(record):
                yield record

    def newest(self, count: int, since: float | None, until: float | None) -> list[JournalRecord]:
        """Return the newest ``count`` of these, oldest first; :meth:`rest` then goes on after the newest of all."""
        found: list[JournalRecord] = []
        self._source.seek_tail() if until is None else self._source.seek_realtime(int((until + _SLACK) * 1e6))
        cursor = ""
        while len(found) < count and self._step(self._source._previous):
            cursor = cursor or self._source._get_cursor()
            record = self._here()
            if record is None:
                continue
            if since is not None and record.time < since - _SLACK:
                break
            if is_within(record.time, since, until) and self._wanted(record):
                found.append(record)
        if cursor:
            self._source.seek_cursor(cursor)
            self._step(self._source._next)
        else:
            self._source.seek_head()
        return found[::-1]

    def rest(self) -> Iterator[JournalRecord]:
        """Yield what follows the place where reading has stopped, as far as it is written."""
        while self._step(self._source._next):
            record = self._here()
            if record is not None and self._wanted(record):
                yield record

    def after(self, cursor: str) -> Iterator[JournalRecord]:
        """Yield what was written after the record with this cursor, or all that is left where that is gone.

        :attr:`cursor` is the place of the newest one.
        """
        self.cursor = ""
        if cursor:
            self._source.seek_cursor(cursor)
        else:
            self._source.seek_head()
        while self._step(self._source._next):
            here = self._source._get_cursor()
            if here == cursor:
                continue
            self.cursor = here
            record = self._here()
            if record is not None and self._wanted(record):
                yield record

    def _step(self, step: Callable[[], bool]) -> bool:
        try:
            return step()
        except OSError as error:
            raise HostError(
                "journal", f"cannot be read on: {_why(error)}", hint="journalctl --verify tells which file is damaged"
            ) from None

    def _here(self) -> JournalRecord | None:
        """Return the record at this place; None for one that is damaged, or that is gone with its file."""
        try:
            raw = self._source._get_all()
            return convert(raw, self._source._get_realtime(), self._only)
        except OSError as error:
            if error.errno not in (errno.EBADMSG, errno.EADDRNOTAVAIL, errno.ENOENT, errno.EIO):
                raise HostError("journal", _why(error)) from None
            self.unreadable += 1
            return None


def is_within(time: float, since: float | None, until: float | None) -> bool:
    """True if a time is between these (seconds since 1970; None: no bound)."""
    return (since is None or time >= since) and (until is None or time <= until)


class Journal:
    """The journal of this host, or of the system below ``root``.  ``matches``: field -> values, one of which it has.

    ``only``: see :func:`convert`.  ``directory``: its files are read instead, as systemd-journal-remote(8) writes those
    of other hosts.  Raises :class:`HostError` where there is none, or where the binding to libsystemd is missing.
    """

    def __init__(
        self,
        root: str,
        matches: Mapping[str, Sequence[str]],
        wanted: Wanted,
        only: Collection[str] = (),
        *,
        directory: str = "",
    ) -> None:
        limit = _allow_many_files()
        self._held = _hold_in(directory) if directory else _hold(root)
        self.damaged = _damaged(list(self._held))
        """What is missing: files of the journal that cannot be opened, see also :meth:`look_for_deleted`."""
        self._reader = _open(root, directory)
        # It passes over files that it cannot open, without a word.
        if len(self._held) > _MOST_FILES or len(os.listdir("/proc/self/fd")) + _SPARE > limit:
            self.damaged.append(f"{len(self._held)} files are more than can be open at once")
        for field, values in matches.items():
            for value in values:
                self._reader.add_match(f"{field}={value}".encode("utf-8", "surrogateescape"))
        self.records = JournalReader(self._reader, wanted, only)

    def look_for_deleted(self) -> None:
        """Add to what is missing the files that were deleted since the beginning: journald empties them first.

        To be called when all that was written before has been read.
        """
        for path, fd in self._held.items():
            if os.fstat(fd).st_nlink == 0:
                self.damaged.append(f"{escape(path)}: it was deleted while it was read")
        self._let_go()

    def missing(self) -> list[str]:
        """Return what is missing in what was read, for people."""
        lines = [f"journal: {line}: records may be missing" for line in self.damaged]
        unreadable = self.records.unreadable
        return lines + ([f"journal: {pluralize(unreadable, 'record')} cannot be read"] if unreadable else [])

    def close(self) -> None:
        """Close the files."""
        self._let_go()
        self._reader.close()

    def _let_go(self) -> None:
        for fd in self._held.values():
            os.close(fd)
        self._held = {}

    def watch(self) -> None:
        """Have the kernel tell what is written from now on; to be called before anything is read."""
        self._reader.fileno()

    def wait(self, *ends: int, seconds: float | None = None) -> bool:
        """Wait until something is written, or ``seconds``.

        Returns False when the other end of one of the descriptors is closed.
        """
        until = None if seconds is None else time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._reader.fileno(), self._reader.get_events())
        for end in ends:
            poll.register(end, 0)  # errors and hang-ups are told always
        while True:
            milliseconds = self._reader.get_timeout_ms()
            left = None if until is None else max(0, int((until - time.monotonic()) * 1000))
            given = [each for each in (left, milliseconds) if each is not None and each >= 0]
            for fd, _ in poll.poll(min(given, default=None)):
                if fd in ends:
                    return False
            if self._reader.process() != _NOTHING or left == 0:
                return True


def apart(work: Callable[[int], int]) -> int:
    """Run ``work`` in a process of its own and return the exit status that it returns.

    libsystemd reads through mmap(2), so who reads where journald has just emptied a file, to delete it, is killed
    (SIGBUS); that is told as :class:`JailsshError`.  ``work`` gets a descriptor that hangs up when this process ends.
    """
    alive, ours = os.pipe2(os.O_CLOEXEC)
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _work(work, alive)
    os.close(alive)
    try:
        _, status = os.waitpid(child, 0)
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    finally:
        os.close(ours)
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGBUS:
        why = "a file was deleted while it was read, so the result is incomplete"
        raise JailsshError("journal", why, hint="run the command again")
    if code < 0:
        raise JailsshError("journal", f"the process that reads it was ended by signal {-code}")
    return code


def _work(work: Callable[[int], int], alive: int) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process hears it
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        code = work(alive)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


_NOTHING = 0
"""SD_JOURNAL_NOP of sd_journal_process(3)."""


def _binding() -> Any:
    # Imported here: the command must work where the binding cannot be loaded.
    try:
        from systemd import journal
    except ImportError as error:
        raise HostError("journal", f"the Python binding of libsystemd cannot be loaded: {error}") from None
    return journal


def _open(root: str, directory: str) -> Any:
    binding = _binding()
    try:
        if directory:
            return binding.Reader(path=directory)
        # Records of this machine alone, of the system and of users: the login program writes as the account.
        return binding.Reader(flags=_OS_ROOT, path=root) if root else binding.Reader(flags=binding.LOCAL_ONLY)
    except OSError as error:
        raise HostError("journal", f"cannot be opened: {_why(error)}") from None


def _allow_many_files() -> int:
    """Allow as many open files as this process may have and return how many: each account has a file of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
    return soft


def _hold(root: str) -> dict[str, int]:
    """Return descriptors of the journal's files: they tell later whether one of them has been deleted.

    Raises :class:`HostError` where there are no files at all, or more than may be open.
    """
    held = _held(path for place in _DIRECTORIES for path in _files(f"{root}{place}", "*/*.journal"))
    if not held:
        hint = "Storage= in journald.conf(5); systemctl status systemd-journald"
        raise HostError("journal", "does not exist on this host", hint=hint)
    return held


def _hold_in(directory: str) -> dict[str, int]:
    """Return the same for the files in ``directory`` and in the directories in it, which libsystemd reads too."""
    try:
        os.listdir(directory)
    except OSError as error:
        raise HostError(escape(directory), _why(error)) from None
    held = _held(path for pattern in ("*.journal", "*/*.journal") for path in _files(directory, pattern))
    if not held:
        raise HostError(escape(directory), "has no file of a journal in it", hint="see systemd-journal-remote(8)")
    return held


def _files(directory: str, pattern: str) -> list[str]:
    return sorted(glob.glob(f"{glob.escape(directory)}/{pattern}"))


def _held(paths: Iterable[str]) -> dict[str, int]:
    held = {}
    for path in paths:
        try:
            held[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:  # rotated or deleted meanwhile: it is read under its new name
            continue
        except OSError as error:
            for fd in held.values():
                os.close(fd)
            raise HostError("journal", f"{escape(path)}: {_why(error)}") from None
    return held


def _damaged(paths: Sequence[str]) -> list[str]:
    """Return those of the journal's files that cannot be opened, with the reason."""
    binding = _binding()
    found = []
    for path in paths:
        try:
            binding.Reader(files=[path]).close()
        except FileNotFoundError:
            continue
        except OSError as error:
            found.append(f"{escape(path)}: {_why(error)}")
    return sorted(found)


def _why(error: OSError) -> str:
    if error.errno in (errno.EBADMSG, errno.ENODATA):
        return "it is damaged"
    return (error.strerror or str(error)).lower()
