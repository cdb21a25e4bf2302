"""``jailssh demo``: real logins with real clients on a scratch host, of which nothing remains."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jailssh.console.context import Context
from jailssh.core import journal_fields as fields
from jailssh.core.errors import EXIT_FAILED, EXIT_OK
from jailssh.core.journal_fields import Event
from jailssh.scratch.demo_host import Result, demo_host, records_of, try_row
from jailssh.scratch.demo_rows import ROWS

EXAMPLES = ("jailssh demo", "jailssh demo --json")

SHOWN_LOGINS = (("shell", "id -un"), ("rsync-pull", "true; id"))
"""The logins, by account and command, whose journal records are shown."""

EVENTS = {"shell": [Event.SESSION_START, Event.SESSION_END], "rsync-pull": [Event.DENIED]}
SHOWN_FIELDS = ("MESSAGE", "MESSAGE_ID", *fields.FIELDS)
Records = dict[str, list[dict[str, Any]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: none of its own."""


def run(_args: argparse.Namespace, context: Context) -> int:
    """Run every row; the exit code is 0 only if each is as expected and the logins are in the journal."""
    context.need_real_root("demo")
    began = time.monotonic()
    context.tell("starting a scratch host: sshd, journald, jailssh setup, jailssh adduser for each jail …")
    with demo_host(context.layout) as host:
        show = list if context.json else _table if sys.stdout.isatty() else _plain
        results = show(try_row(host, row) for row in ROWS)
        records = {user: records_of(host, user, command) for user, command in SHOWN_LOGINS}
    seconds = time.monotonic() - began
    good = sum(result.ok for result in results)
    logged = all(events(records[user]) == EVENTS[user] for user, _ in SHOWN_LOGINS)
    ok = good == len(ROWS) and logged
    lines = [*_record_lines(records), "", f"{good} of {len(ROWS)} as expected, {seconds:.1f} s, nothing is left behind"]
    if not logged:
        lines.append("the journal records of the logins above are not as expected")
    context.facts(_facts(results, records, seconds, ok), lines)
    return EXIT_OK if ok else EXIT_FAILED


def events(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the events of journal records, in order."""
    return [str(record.get(fields.EVENT, "")) for record in records]


def _table(results: Iterable[Result]) -> list[Result]:
    """Say how far it is while the rows run, then print them as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table("", "command", "expected", "got")
    found: list[Result] = []
    with console.status("") as status:
        for result in results:
            found.append(result)
            status.update(f"{len(found)} of {len(ROWS)} logins")
            mark = Text("ok", "green") if result.ok else Text("BAD", "bold red")
            # Text: what a client printed must not be read as markup.
            table.add_row(mark, *map(Text, (result.row.command, result.row.expected, result.got)))
    console.print(table)
    return found


def _plain(results: Iterable[Result]) -> list[Result]:
    """Print each row as soon as it is there; only the last column has no known width."""
    wide = max(len(row.command) for row in ROWS)
    expected = max(len(row.expected) for row in ROWS)
    print(f"{'':3} {'command':{wide}}  {'expected':{expected}}  got")
    found = []
    for result in results:
        row = result.row
        print(
            f"{'ok' if result.ok else 'BAD':3} {row.command:{wide}}  {row.expected:{expected}}  {result.got}",
            flush=True,
        )
        found.append(result)
    return found


def _record_lines(records: Records) -> list[str]:
    lines = []
    for user, command in SHOWN_LOGINS:
        lines += ["", f"the journal of: ssh {user}@host '{command}'"]
        for record in records[user]:
            lines.append("")
            lines += [f"  {name}={record[name]}" for name in SHOWN_FIELDS if name in record]
    return lines


def _facts(results: Sequence[Result], records: Records, seconds: float, ok: bool) -> dict[str, Any]:
    rows = [
        {
            "command": result.row.command,
            "expected": result.row.expected,
            "got": result.got,
            "exit": result.code,
            "ok": result.ok,
        }
        for result in results
    ]
    journal = {
        user: [{name: record[name] for name in SHOWN_FIELDS if name in record} for record in of_user]
        for user, of_user in records.items()
    }
    return {"ok": ok, "rows": rows, "journal": journal, "seconds": round(seconds, 2)}
