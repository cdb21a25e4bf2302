"""``jailssh metrics``: numbers for Prometheus about sessions, denials and images."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing, suppress
from dataclasses import asdict

from jailssh.audit import metrics, scrape, telling
from jailssh.audit.metrics import Sums
from jailssh.console.context import Context
from jailssh.core import journal_fields as fields
from jailssh.core.errors import EXIT_OK, UsageError
from jailssh.core.journal_fields import Event
from jailssh.core.names import check_absolute
from jailssh.files import fs
from jailssh.queries import reading
from jailssh.services.journal_reader import Journal
from jailssh.sessions import live, outside
from jailssh.users import pausing

EXAMPLES = ("jailssh metrics", "jailssh metrics --textfile /var/lib/prometheus/node-exporter/jailssh-live.prom")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--answer", action="store_true", help="answer one HTTP request on standard input")
    how.add_argument(
        "--textfile", metavar="FILE", help="write them for node_exporter's textfile collector, in one step"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Count what is new in the journal, and print or write all numbers."""
    context.need_real_root("metrics")
    if args.answer and context.json:
        raise UsageError("--answer", "cannot be combined with --json")
    if args.answer and (refusal := scrape.refusal(scrape.asked(sys.stdin.fileno()))):
        return _answer(refusal)
    path = check_absolute(args.textfile, "--textfile") if args.textfile else ""
    # By itself: whoever reads where journald has just emptied a file is killed.
    if code := reading.apart(context, lambda _: _keep(context)):
        return code
    layout = context.layout
    sums = metrics.read(layout)
    picture = live.take(layout)
    strays, _ = outside.strays(picture, layout)
    sessions = [asdict(each) for each in live.told(picture, layout)]
    text = metrics.text(sums, sessions, len(strays), paused=pausing.present(layout) is not None)
    if args.answer:
        return _answer(scrape.answer("200 OK", text))
    if path:
        telling.write_textfile(path, text)
    elif context.json:
        context.facts([{"kind": k, "jail": j, "reason": r, "count": n} for (k, j, r), n in sums.rows.items()], ())
    else:
        context.say([text.rstrip("\n")])
    return EXIT_OK


def _answer(data: bytes) -> int:
    with suppress(OSError):  # the other end is gone
        fs.write_all(sys.stdout.fileno(), data)
    return EXIT_OK


def _keep(context: Context) -> int:
    """Count what is new, and keep the sums."""
    layout = context.layout
    fs.ensure_dir(layout.state, 0o755)
    with fs.lock(metrics.lock(layout)):
        sums = metrics.read(layout)
        _count(sums, context)
        metrics.write(layout, sums)
    return EXIT_OK


def _count(sums: Sums, context: Context) -> None:
    events = (Event.SESSION_START, Event.DENIED, Event.REFUSED, Event.IMAGE_BUILT, Event.IMAGE_FAILED,
              Event.FILE_OPERATION, Event.MESSAGES_LOST)  # fmt: skip
    matches = {fields.EVENT: [event.value for event in events]}
    with closing(Journal(context.layout.root, matches, lambda _: True, metrics.FIELDS)) as journal:
        for record in journal.records.after(sums.cursor):
            sums.add(record)
        sums.cursor = journal.records.cursor or sums.cursor
        journal.look_for_deleted()
        for line in journal.missing():
            context.tell(line)
