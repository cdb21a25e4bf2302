"""``jailssh audit``: the periodic check of the host, and what happened, from the journal."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

from jailssh.audit import summary
from jailssh.audit.logbook import CSV_HEAD, HOST, LOGINS, Entry, Query, Table, entry
from jailssh.config.reader import did_you_mean
from jailssh.console import output
from jailssh.console.actions import add_actions
from jailssh.console.context import Context
from jailssh.core import journal_fields as fields
from jailssh.core.errors import EXIT_OK, UsageError
from jailssh.core.journal_fields import REASONS, Event
from jailssh.core.names import escape
from jailssh.host import accounts
from jailssh.host.accounts import UnansweredError
from jailssh.host.journal import JournalRecord
from jailssh.queries import reading
from jailssh.queries.reading import Between
from jailssh.queries.record_files import RecordFiles
from jailssh.services.journal_reader import Journal, apart

EXAMPLES = (
    "jailssh audit run",
    "jailssh audit show",
    "jailssh audit diff -2 -1",
    "jailssh audit log --user alice --since 2026-11 --until 2026-12",
    "jailssh audit log --event denied --event refused --since 7d --csv",
    "jailssh audit log --jail sftp-only --peer 192.0.2.0/24 --follow",
    "jailssh audit report --since 90d",
    "jailssh audit log --directory /var/log/journal/remote --host gate1",
    "jailssh audit log --file /var/log/remote/jailssh.json --event denied --since 7d",
    "jailssh audit merge checks/*.json",
)
_FOLLOWED = 10
"""Entries that are shown before those that come, as tail(1) does."""
_MANY = 10_000_000
_SELECTING = (
    ("--user", "USER", "account: name, or uid"),
    ("--jail", "JAIL", "name of a jail"),
    ("--key", "NAME", "named key of a shared account"),
    ("--peer", "ADDRESS", "client's address, or network such as 192.0.2.0/24"),
    ("--session", "ID", "session id"),
    ("--event", "EVENT", f"event: {', '.join(LOGINS)} (default: these), or another one"),
    ("--reason", "REASON", "reason of a denial or refusal"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_actions(parser, _add_actions)


def _add_actions(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run_ = actions.add_parser("run", help="check everything, keep the result, tell what is new")
    run_.description = (
        "Run all checks, keep the result, compare it with the runs before, tell what is new, back again or mended:\n"
        "in the journal, and as audit_mail, audit_command and audit_textfile in jailssh.conf say.\n"
        "Exit status 0: nothing found; 1: findings; 2: a part was not looked at, not kept or not told."
    )
    run_.add_argument("--full", action="store_true", help="believe nothing of earlier runs: read every file again")
    show = actions.add_parser("show", help="show a run that was kept")
    show.add_argument("run", nargs="?", metavar="RUN", help="number of a run, or -1 for the last (default), -2, …")
    show.add_argument("--list", action="store_true", help="list the runs instead")
    diff = actions.add_parser("diff", help="show what has changed between two runs")
    diff.add_argument("old", nargs="?", metavar="OLD", default="-2", help="number of a run, or -2, … (default: -2)")
    diff.add_argument("new", nargs="?", metavar="NEW", default="-1", help="number of a run, or -1, … (default: -1)")
    log = actions.add_parser("log", help="show logins, what they did, and what was denied, from the journal")
    log.description = (
        "Show from the journal who logged in, from where, with which key, ran what, touched which files, and was\n"
        "denied what and why; oldest first.  Selecting options are repeatable: one value of each must match."
    )
    reading.add_sources(log)
    for option, metavar, text in _SELECTING:
        log.add_argument(option, metavar=metavar, action="append", default=[], help=text)
    log.add_argument("--since", metavar="TIME", help="from: 2026-11-01, '2026-11-01 18:30', 18:30, 2h (ago), today")
    log.add_argument("--until", metavar="TIME", help="to: as --since; a date is its beginning")
    log.add_argument("--limit", type=int, metavar="N", help="only the newest N")
    log.add_argument("--follow", action="store_true", help="go on with what is written from now on; Ctrl-C ends it")
    log.add_argument("--summary", action="store_true", help="count instead: sessions, denials, accounts, keys")
    log.add_argument("--csv", action="store_true", help="print CSV; --json prints one object per line")
    page = actions.add_parser("report", help="print a page of HTML: findings, trend, sessions, denials, keys")
    page.description = (
        "Print one file of HTML that needs nothing else: the last run of the checks, the runs before it, and from the\n"
        "journal sessions and denials over time, the busiest accounts, and keys that have not been used for long.\n"
        "Exit status 0; 1: a part is missing, which the page says."
    )
    page.add_argument("--since", metavar="TIME", default="30d", help="from, as with log (default: 30d, which is ago)")
    page.add_argument("--until", metavar="TIME", help="to: as --since; a date is its beginning (default: now)")
    reading.add_sources(page)
    merge = actions.add_parser("merge", help="print a page of HTML: the checks of many hosts")
    merge.description = (
        "Print one file of HTML of what 'jailssh check --json' or 'jailssh audit show --json' printed on many hosts:\n"
        "the hosts, the worst first, what several of them have, and the findings of each.\n"
        "Exit status 0; 1: a part is missing, which the page says."
    )
    merge.add_argument("files", nargs="+", metavar="FILE", help="output of a host; '-' is standard input")


def run(args: argparse.Namespace, context: Context) -> int:
    """Run one of the actions."""
    return _ACTIONS[args.action](args, context)


def _log(args: argparse.Namespace, context: Context) -> int:
    if args.csv and context.json:
        raise UsageError("--csv", "cannot be combined with --json")
    if args.follow and (args.until is not None or args.file):
        raise UsageError("--follow", f"cannot be combined with {'--file' if args.file else '--until'}")
    if args.limit is not None and not 0 < args.limit <= _MANY:
        raise UsageError(f"--limit {args.limit}", f"is not between 1 and {_MANY}")
    if args.summary and (args.csv or args.follow or args.limit is not None or args.event):
        raise UsageError("--summary", "cannot be combined with --csv, --follow, --limit or --event")
    between = reading.between(args)
    for option, values, words in (("--event", args.event, [*Event]), ("--reason", args.reason, [*REASONS])):
        for value in values:
            if value not in words:
                raise UsageError(f"{option} {escape(value, 60)}", "does not exist", hint=did_you_mean(value, words))
    reading.check_sources(args)
    query = Query(
        args.user,
        args.jail,
        args.key,
        args.event or (summary.EVENTS if args.summary else LOGINS),
        args.reason,
        args.session,
        args.peer,
        args.host,
    )
    if not reading.of_many(args):
        context.need_root("audit log")
    try:
        return reading.apart(context, lambda alive: _answer(args, context, query, between, alive))
    except KeyboardInterrupt:
        if not args.follow:
            raise
        return EXIT_OK


def _answer(args: argparse.Namespace, context: Context, query: Query, between: Between, alive: int) -> int:
    """Print the answer and return the exit status; ``alive`` hangs up when nobody waits for it any more."""
    # Sums look at few fields, and there may be a million records; what picks records looks at that one too.
    only = (*summary.FIELDS, fields.PEER) if args.summary else ()
    with closing(reading.opened(args, context.layout.root, query.matches(), query.wants, only)) as journal:
        records = _records(journal, args, between, alive)
        if args.summary:
            found = summary.summarize(records)
            context.facts(found.facts(), found.lines())
        else:
            _print(records, args, context)
        return reading.complete(journal, context)


def _records(
    journal: Journal | RecordFiles, args: argparse.Namespace, between: Between, alive: int
) -> Iterator[JournalRecord]:
    reader = journal.records
    since, until = between
    followed = journal if args.follow and isinstance(journal, Journal) else None
    if followed:
        followed.watch()
    limit = args.limit if args.limit is not None or not args.follow or since is not None else _FOLLOWED
    if limit is not None:
        yield from reader.newest(limit, since, until)
    else:
        yield from reader.between(since, until)
    journal.look_for_deleted()
    while followed:
        yield from followed.records.rest()
        sys.stdout.flush()
        if not followed.wait(sys.stdout.fileno(), alive):
            return


def _print(records: Iterable[JournalRecord], args: argparse.Namespace, context: Context) -> None:
    show, of_many = _shown_as(args, context), reading.of_many(args)
    first = True
    for record in records:
        show(entry(record, of_many=of_many))
        if first:  # the next one may be far away
            sys.stdout.flush()
            first = False
        if output.is_lost():  # nobody reads it any more, and there may be a million
            return


def _shown_as(args: argparse.Namespace, context: Context) -> Callable[[Entry], None]:
    """Return what prints an entry in the form that is asked for; what stands above all entries is printed."""
    if context.json:
        return lambda one: print(json.dumps(one.facts()))
    if args.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow((*CSV_HEAD, HOST) if reading.of_many(args) else CSV_HEAD)
        return lambda one: writer.writerows(one.csv())
    # Names of another host are none of this one's.
    table = Table(_nobody, of_many=True) if reading.of_many(args) else Table(_owners())
    print(table.head())
    return lambda one: context.say(table.lines(one))


def _nobody(name: str) -> None:
    """Return no uid: a record of another host is shown with its own."""


def _owners() -> Callable[[str], int | None]:
    """Return what gives the uid of a name; a name service that does not answer is asked once."""
    silent = False

    def owner_of(name: str) -> int | None:
        nonlocal silent
        try:
            found = None if silent or not name else accounts.find(name)
        except UnansweredError:
            silent, found = True, None
        return found.uid if found is not None else None

    return owner_of


def _runs(args: argparse.Namespace, context: Context) -> int:
    # The log is to begin at once: what the checks import takes longer than its first line.
    from jailssh.queries import audit_runs

    return audit_runs.ACTIONS[args.action](args, context)


def _report(args: argparse.Namespace, context: Context) -> int:
    if context.json:
        raise UsageError("audit report", "cannot be combined with --json", hint="jailssh audit log --summary --json")
    between = reading.between(args)
    reading.check_sources(args)
    if not reading.of_many(args):
        context.need_root("audit report")
    from jailssh.queries import audit_report

    return apart(lambda _: audit_report.report(context, between, args))


def _merge(args: argparse.Namespace, context: Context) -> int:
    from jailssh.queries import audit_merge

    return audit_merge.merge(args.files, context)


_ACTIONS: dict[str, Callable[[argparse.Namespace, Context], int]] = {
    "log": _log,
    "run": _runs,
    "show": _runs,
    "diff": _runs,
    "report": _report,
    "merge": _merge,
}
