"""What the verbs that read the journal have in common: a time to read, a process apart, and what is missing."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from jailssh.audit.moments import moment
from jailssh.console import output
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, JailsshError, UsageError
from jailssh.core.names import escape
from jailssh.host import nss
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


def check_directory(args: argparse.Namespace) -> None:
    """Raise :class:`UsageError` for ``--host`` or an empty ``--directory``: this host's own journal has one host."""
    if args.directory == "":
        raise UsageError("--directory ''", "is no directory")
    if args.host and args.directory is None:
        raise UsageError("--host", "needs --directory")


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


def complete(journal: Journal, context: Context) -> int:
    """Say what is missing in what was read, if anything is, and return the exit status."""
    missing = journal.missing()
    for line in missing:
        context.tell(f"jailssh: {line}")
    return EXIT_FAILED if missing else EXIT_OK
