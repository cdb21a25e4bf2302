"""``jailssh transfers``: what sessions wrote, with size and SHA-256; and recording it."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import cache
from itertools import takewhile

from jailssh.audit import transfers, written
from jailssh.audit.digests import Place
from jailssh.audit.transfers import CSV_HEAD, Shown, Transfer, recorded, transfer
from jailssh.audit.written import Session, Written
from jailssh.console import output
from jailssh.console.context import Context
from jailssh.core import journal_fields as fields
from jailssh.core.errors import EXIT_OK, JailsshError, UsageError
from jailssh.core.journal_fields import Event
from jailssh.core.names import is_below
from jailssh.files import fs
from jailssh.host.journal import JournalRecord
from jailssh.jail.configuration import Configuration, load_configuration
from jailssh.plan.codec import Plan
from jailssh.publish.plan_files import keys_of, readable_plan
from jailssh.queries import reading
from jailssh.queries.reading import Between
from jailssh.services.journal_reader import Journal

EXAMPLES = ("jailssh transfers", "jailssh transfers alice --since 2h", "jailssh transfers --record")
_FIRST = 600.0
"""Seconds before the first recording whose files still belong to it."""
_PORTION = 2000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("account", nargs="?", metavar="ACCOUNT", help="what this account wrote only")
    parser.add_argument("--since", metavar="TIME", help="from: 2026-11-01, '2026-11-01 18:30', 18:30, 2h (ago), today")
    parser.add_argument("--until", metavar="TIME", help="to: as --since; a date is its beginning")
    parser.add_argument("--csv", action="store_true", help="print CSV; --json prints one object per line")
    parser.add_argument(
        "--record", action="store_true", help="read what was written since the last time, and record it"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Show what is recorded, or record what is new."""
    if args.csv and context.json:
        raise UsageError("--csv", "cannot be combined with --json")
    if args.record:
        if args.account or args.since or args.until or args.csv or context.json:
            raise UsageError("--record", "cannot be combined with anything else")
        context.need_real_root("transfers --record")
        return reading.apart(context, lambda _: _record(context))
    between = reading.between(args)
    context.need_root("transfers")
    return reading.apart(context, lambda _: _show(args, context, between))


def _show(args: argparse.Namespace, context: Context, between: Between) -> int:
    matches = {fields.EVENT: [Event.TRANSFER.value]} | ({fields.USER: [args.account]} if args.account else {})
    with closing(Journal(context.layout.root, matches, recorded)) as journal:
        found = map(transfer, journal.records.between(*between))
        _print(found, args, context)
        journal.look_for_deleted()
        return reading.complete(journal, context)


def _print(found: Iterator[Transfer], args: argparse.Namespace, context: Context) -> None:
    found = takewhile(lambda _: not output.is_lost(), found)
    if args.csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(CSV_HEAD)
        for each in found:
            writer.writerow(each.row())
    elif context.json:
        for each in found:
            print(json.dumps(each.facts()))
    else:
        context.say(each.line() for each in found)


def _record(context: Context) -> int:
    layout = context.layout
    fs.ensure_dir(layout.state, 0o755)
    with fs.lock(transfers.lock(layout)):
        asking = _asking(load_configuration(layout))
        if not asking:
            transfers.write_cursor(layout, "")
            return EXIT_OK
        cursor = transfers.read_cursor(layout)
        first = 0.0 if cursor else time.time() - _FIRST

        def wanted(record: JournalRecord) -> bool:
            return record.genuine and record.time >= first and not asking.isdisjoint(record.get(fields.JAIL).split("+"))

        matches = {fields.EVENT: [Event.FILE_OPERATION.value, Event.SESSION_END.value]}
        with closing(Journal(layout.root, matches, wanted, written.FIELDS)) as journal:
            spent: dict[int, float] = {}
            told: dict[tuple[int, Place], float] = {}
            sessions: list[Session] = []
            plans = _plans(context)
            for portion in written.collect(written.untold(journal.records.after(cursor), sessions), _PORTION):
                transfers.record(portion, _placer(plans), time.time, spent, told)
                if sessions:
                    _record_changed(sessions, plans, told, spent)
                    sessions.clear()
                # Recorded first: what is recorded twice is not lost.
                transfers.write_cursor(layout, journal.records.cursor or cursor)
            journal.look_for_deleted()
            return reading.complete(journal, context)


def _asking(configuration: Configuration) -> set[str]:
    """Return the jails that want it; of a jail file that is broken nobody knows, and no login takes it."""
    found = set()
    for name in configuration.documents:
        with suppress(JailsshError):
            if configuration.definition((name,)).config.transfers:
                found.add(name)
    return found


PlanOf = Callable[[int, str], Plan | None]


def _plans(context: Context) -> PlanOf:
    """Return what gives the plan of a uid that a key, "" for none, logs in with."""

    @cache
    def plan_of(uid: int, key: str) -> Plan | None:
        plan = readable_plan(context.layout, uid)
        serial = keys_of(plan).get(key, "") if key else ""
        return readable_plan(context.layout, uid, serial) if serial else plan

    return plan_of


def _placer(plan_of: PlanOf) -> transfers.PlaceOf:
    def place_of(each: Written, name: str) -> Place:
        plan = plan_of(each.uid, each.key)
        return _place(plan, name) if plan else ("", "")

    return place_of


def _record_changed(
    sessions: list[Session], plan_of: PlanOf, told: dict[tuple[int, Place], float], spent: dict[int, float]
) -> None:
    def shown(each: Session) -> list[Shown]:
        plan = plan_of(each.uid, each.key)
        return _writable(plan) if plan else []

    def is_shown(each: Session, path: str) -> bool:
        plan = plan_of(each.uid, each.key)
        masks = [r.args[0] for r in plan.records if r.verb in ("mask", "mask-file")] if plan else []
        return bool(plan and _place(plan, path)[0]) and not any(is_below(path, mask) for mask in masks)

    transfers.record_changed(sessions, shown, is_shown, told, time.time, spent)


def _writable(plan: Plan) -> list[Shown]:
    return [(r.args[1], r.args[0]) for r in plan.records if r.verb == "bind" and r.args[2] == "rw"]


def _place(plan: Plan, name: str) -> Place:
    """Return where a name in the jail is on the host: in the innermost directory that the jail shows there."""
    home = plan.first("home")
    path = name if name.startswith("/") else f"{home[0] if home else ''}/{name}"
    path = "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
    shown = _writable(plan)
    # A tmpfs over a directory of the host hides it, and nothing of it is left after the session.
    shown += [(r.args[0], "") for r in plan.records if r.verb == "tmpfs"]
    above = [(target, source) for target, source in shown if is_below(path, target)]
    target, source = max(above, key=lambda each: len(each[0]), default=("", ""))
    return (source, path[len(target.rstrip("/")) :].lstrip("/")) if source else ("", "")
