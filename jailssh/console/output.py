"""Standard output and error that never stop what a verb is doing.

A closed descriptor, a full disk, a reader that has gone or a character that the locale does not have is no reason to
leave a change half made.  So writing goes on without an error, and what could not be written is told at the end.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from typing import Any

from jailssh.core.errors import EXIT_FAILED, EXIT_OK

SIGPIPE_STATUS = 141
# Verbs whose only product is what they print; the others have done their work when printing fails.
SHOWS = {
    "plan", "explain", "list", "plugins", "config", "doctor", "selftest", "check", "replay", "sessions", "metrics",
    "transfers",
}  # fmt: skip
SHOWS_BY_ACTION = {
    ("keys", "list"), ("keys", "print"), ("image", "list"), ("image", "show"), ("image", "diff"), ("audit", "log"),
    ("audit", "show"), ("audit", "diff"), ("audit", "report"), ("audit", "merge"), ("session", "list"),
    ("system", "list"), ("system", "logs"),
}  # fmt: skip


class Steady(io.RawIOBase):
    """Writes to a descriptor; ``error`` is the first error, after which everything is dropped."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self.error: OSError | None = None

    def writable(self) -> bool:
        """True: it can be written to."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def isatty(self) -> bool:
        """True if it is a terminal."""
        return os.isatty(self._fd)

    def write(self, data: Any) -> int:
        """Write all of ``data``, or drop it."""
        view = memoryview(data).cast("B")
        done = 0
        while self.error is None and done < len(view):
            try:
                done += os.write(self._fd, view[done:])
            except BlockingIOError:
                os.set_blocking(self._fd, True)
            except OSError as error:
                self.error = error
        return len(view)


def hold() -> Steady:
    """Put steady streams in the place of standard output and error; return that of standard output.

    Descriptors 0, 1 and 2 that are closed are opened: else the next file that root opens would be one of them, and be
    printed into.
    """
    closed = [fd for fd in range(3) if not _is_open(fd)]
    for fd in closed:
        # The lowest that is free is taken.  One that can only be read: writing fails and is noticed.
        os.open(os.devnull, os.O_RDONLY if fd == 1 else os.O_RDWR)
        os.set_inheritable(fd, True)
    out, err = Steady(1), Steady(2)
    if 0 in closed:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process lives
    if 1 in closed:
        out.error = OSError(errno.EBADF, os.strerror(errno.EBADF))
    before = sys.stdout
    encoding = before.encoding if before is not None else "utf-8"
    sys.stdout = _text(out, encoding, by_line=out.isatty())
    sys.stderr = _text(err, encoding, by_line=True)
    return out


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def _text(raw: Steady, encoding: str, *, by_line: bool) -> io.TextIOWrapper:
    buffered = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffered, encoding=encoding, errors="backslashreplace", line_buffering=by_line)


def is_lost() -> bool:
    """True if what is written to standard output goes nowhere: its reader has gone, or the disk is full."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return isinstance(raw, Steady) and raw.error is not None


def is_terminal() -> bool:
    """True if standard output is a terminal."""
    return sys.stdout.isatty()


def status(code: int, out: Steady, *, shows: bool) -> int:
    """Return the exit status of a verb that ended with ``code``, and say what could not be written.

    ``shows``: printing was its work.  Then it has failed; else what it has done is done, and it has not.
    """
    sys.stdout.flush()
    if out.error is None:
        return code
    if out.error.errno == errno.EPIPE:
        return SIGPIPE_STATUS if shows and code == EXIT_OK else code
    why = (out.error.strerror or str(out.error)).lower()
    print(
        f"jailssh: standard output: {why}" + ("" if shows else "; the exit status tells the result of the work"),
        file=sys.stderr,
    )
    return EXIT_FAILED if shows and code == EXIT_OK else code


def status_of_own(code: int) -> int:
    """As :func:`status`, for a process apart that shows something."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return status(code, raw, shows=True) if isinstance(raw, Steady) else code


def is_shown(args: argparse.Namespace) -> bool:
    """True if printing is all that the verb with these arguments does."""
    verb, action = args.verb, getattr(args, "action", "")
    options = any(getattr(args, option, False) for option in ("dry_run", "suggest", "list", "unit"))
    plans = verb in ("import", "migrate") and not (args.apply or getattr(args, "undo", False))
    archive = verb == "export" and args.file == "-"
    return verb in SHOWS or (verb, action) in SHOWS_BY_ACTION or options or plans or archive
