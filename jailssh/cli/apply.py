"""``jailssh apply``: check everything, show what changes, publish it."""

from __future__ import annotations

import argparse

from jailssh.cli.context import Context
from jailssh.core.errors import EXIT_OK
from jailssh.host import fs
from jailssh.image.findings import find, note_lines
from jailssh.image.jail import load_configuration
from jailssh.image.publish import Change, changes, publish_all
from jailssh.users import setup, undo

EXAMPLES = ("jailssh apply", "jailssh apply --dry-run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--dry-run", action="store_true", help="check and show only")


def run(args: argparse.Namespace, context: Context) -> int:
    """Validate, show, publish.  Running sessions keep what they have."""
    context.need_root("apply")
    layout = context.layout
    if args.dry_run:
        configuration = load_configuration(layout)
        configuration.validate()
        found = changes(configuration)
    else:
        setup.prepare(layout)
        # Nobody adds or takes away an account or a key meanwhile.
        with fs.lock(setup.lock_path(layout)):
            for name in undo.recover(layout):
                context.tell(f"rolled back an interrupted change: {name}")
            configuration = load_configuration(layout)
            configuration.validate()
            found = publish_all(configuration)
    lines = [line for change in found for line in _lines(change)]
    context.facts(
        [_fact(change) for change in found], lines or ["nothing would change" if args.dry_run else "no change"]
    )
    findings = find(configuration)
    for line in note_lines([*findings.wrong, *findings.notes]):
        context.tell(line)
    if not layout.root and (rest := setup.pending(layout, configuration.groups())):
        context.tell(f"note: run jailssh setup: {', '.join(change.point for change in rest)}")
    return EXIT_OK


def _lines(change: Change) -> list[str]:
    head = f"{change.name or 'a deleted account'} (uid {change.uid}), jail {change.jail or 'none'}:"
    return [head, *(f"  {line}" for line in change.lines)]


def _fact(change: Change) -> dict[str, object]:
    return {"uid": change.uid, "name": change.name, "jail": change.jail, "lines": list(change.lines)}
