"""What the verbs that read the journal have in common: a time to read, a process apart, and what is missing."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from jailssh.audit.moments import moment
from jailssh.console import output
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, JailsshError, UsageError
from jailssh.core.names import escape
from jailssh.host import nss
from jailssh.queries.record_files import RecordFiles
from jailssh.services import journal_reader
from jailssh.services.journal_reader import Journal

Between = tuple[float | None, float | None]
"""From and to, in seconds since 1970; None: no bound."""


def between(args: argparse.Namespace) -> Between:
    """Return what ``--since`` and ``--until`` say; :class:`UsageError` for what is no time, or no time between."""
    since, until = _moment("--since", args.since), _moment("--until", args.until)
    if since is not None and until is not None and since > until:
        raise UsageError("--since", "is later than --until")
    return since, until


def _moment(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return moment(text, time.time())
    except ValueError as error:
        raise UsageError(f"{option} {escape(text, 60)}", str(error)) from None


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name records of other hosts."""
    text = "read the journals in DIR instead, as systemd-journal-remote(8) writes those of other hosts"
    parser.add_argument("-D", "--directory", metavar="DIR", help=text)
    text = "read records of other hosts from FILE instead, one JSON object a line, as rsyslog or journalctl -o json "
    text += "writes them; '-' is standard input; repeatable"
    parser.add_argument("--file", metavar="FILE", action="append", default=[], help=text)
    text = "with -D or --file: of this host; repeatable"
    parser.add_argument("--host", metavar="NAME", action="append", default=[], help=text)


def check_sources(args: argparse.Namespace) -> None:
    """Raise :class:`UsageError` for what names no records, or those of hosts where this host's own are read."""
    for option, text in (("--directory", args.directory), *(("--file", each) for each in args.file)):
        if text == "":
            raise UsageError(f"{option} ''", "is empty")
    if args.directory is not None and args.file:
        raise UsageError("--file", "cannot be combined with --directory")
    if args.file.count("-") > 1:
        raise UsageError("--file -", "is given twice")
    if args.host and not of_many(args):
        raise UsageError("--host", "needs --directory or --file")


def of_many(args: argparse.Namespace) -> bool:
    """True if records of other hosts are read."""
    return args.directory is not None or bool(args.file)


def opened(
    args: argparse.Namespace,
    root: str,
    matches: Mapping[str, Sequence[str]],
    wanted: journal_reader.Wanted,
    only: Collection[str] = (),
) -> Journal | RecordFiles:
    """Return the records that the arguments name, as for :class:`Journal`."""
    if args.file:
        return RecordFiles(args.file, matches, wanted, only)
    return Journal(root, matches, wanted, only, directory=args.directory or "")


def apart(context: Context, act: Callable[[int], int]) -> int:
    """Return the exit status of ``act`` in a process of its own, which tells its errors by itself.

    See :func:`jailssh.services.journal_reader.apart`.
    """
    return journal_reader.apart(lambda alive: _told(context, act, alive))


def _told(context: Context, act: Callable[[int], int], alive: int) -> int:
    try:
        code = act(alive)
    except JailsshError as error:
        sys.stdout.flush()
        for line in error.lines():
            context.tell(line)
        code = error.exit_code
    nss.close()
    return output.status_of_own(code)


def complete(journal: Journal | RecordFiles, context: Context) -> int:
    """Say what is missing in what was read, if anything is, and return the exit status."""
    missing = journal.missing()
    for line in missing:
        context.tell(f"jailssh: {line}")
    return EXIT_FAILED if missing else EXIT_OK
