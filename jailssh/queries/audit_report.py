"""The action ``report`` of ``jailssh audit``: what the page tells, from the journal, the runs and the configuration."""

from __future__ import annotations

import argparse
import os
import time
from contextlib import closing

from jailssh.audit import history, page, summary
from jailssh.audit.logbook import counts
from jailssh.console import output
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, HostError, JailsshError, parts
from jailssh.core.journal_fields import EVENT, HOSTNAME
from jailssh.jail.configuration import load_configuration
from jailssh.queries import reading


def report(context: Context, between: tuple[float | None, float | None], args: argparse.Namespace) -> int:
    """Print the page of this time (seconds since 1970), return the exit status: 1 where a part is missing.

    ``args`` may name records of other hosts: of these, without what else this host knows.

    For a process of its own, as :func:`jailssh.services.journal_reader.apart` makes it.
    """
    notes: list[str] = []
    errors: list[JailsshError] = []
    activity = None
    hosts, of_many = args.host, reading.of_many(args)
    matches = {EVENT: summary.EVENTS, **({HOSTNAME: tuple(hosts)} if hosts else {})}
    root = context.layout.root
    try:
        with closing(reading.opened(args, root, matches, counts, summary.FIELDS)) as journal:
            activity = summary.summarize(journal.records.between(*between))
            journal.look_for_deleted()
            notes = journal.missing()
    except HostError as error:
        errors.append(error)
    runs = [] if of_many else history.readable(context.layout, errors, page.MOST_RUNS)
    keys = [] if of_many else _named_keys(context, errors)
    for line in [*(f"jailssh: {note}" for note in notes), *(line for error in errors for line in error.lines())]:
        context.tell(line)
    notes += [f"{error.what}: {error.why}" for error in errors]
    last, earlier = (runs[-1], runs[:-1]) if runs else (None, [])
    subject = ", ".join(hosts) or args.directory or ", ".join(args.file) or root or os.uname().nodename
    told = page.Report(subject, time.time(), last, earlier, activity, *between, keys, notes, not of_many)
    print(page.page(told), end="")
    return output.status_of_own(EXIT_FAILED if notes else EXIT_OK)


def _named_keys(context: Context, errors: list[JailsshError]) -> list[page.Key]:
    """Return the named keys that the configuration has, whether they have been used or not."""
    found: list[page.Key] = []
    try:
        configuration = load_configuration(context.layout)
        for name in configuration.shared_names():
            if user := configuration.user(name):
                ring = configuration.keyring(name, vacant=True)
                found += [(name, str(user.uid), key) for key in ring.keys]
    except JailsshError as error:
        errors += parts(error)
    return found
