"""``jailssh apply``: check everything, show what changes, publish it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jailssh.cli.context import Context
from jailssh.core.errors import EXIT_OK
from jailssh.host import fs
from jailssh.image.findings import find, note_lines
from jailssh.image.jail import load_configuration
from jailssh.image.publish import Change, changes, publish_all, revocations
from jailssh.relay import lastgood
from jailssh.users import doors, running, setup, transaction

EXAMPLES = ("jailssh apply", "jailssh apply --dry-run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--dry-run", action="store_true", help="check and show only")


def run(args: argparse.Namespace, context: Context) -> int:
    """Validate, show, publish.  Running sessions keep what they have."""
    context.need_root("apply")
    layout = context.layout
    if args.dry_run:
        with _showing(context, revocations(layout, act=False)):
            configuration = load_configuration(layout)
            configuration.validate()
            found = changes(configuration)
            shells = doors.set_shells(layout, configuration, act=False) if setup_here(context) else []
    else:
        setup.prepare(layout)
        # Nobody adds or takes away an account or a key meanwhile.
        with fs.lock(setup.lock_path(layout)):
            for line in (*transaction.recover(layout, setup.SHELLS), *transaction.others(layout, setup.SHELLS)):
                context.tell(line)
            for line in running.try_owed(layout):
                context.tell(line)
            # Before anything that a mistake somewhere may stop.
            revoked = revocations(layout, act=True)
            with _showing(context, revoked):
                configuration = load_configuration(layout)
                configuration.validate()
                lastgood.keep(layout)
                # What confines comes before the plans, which let in.
                shells = doors.set_shells(layout, configuration, act=True) if setup_here(context) else []
                found = [*revoked, *publish_all(configuration)]
    context.say(shells if not context.json else ())
    _show(context, found, "nothing would change" if args.dry_run else "no change")
    findings = find(configuration)
    for line in note_lines([*findings.wrong, *findings.notes]):
        context.tell(line)
    if setup_here(context):
        for line in note_lines(doors.findings(layout, configuration)):
            context.tell(line)
    if not layout.root and (rest := setup.pending(layout, configuration.groups())):
        context.tell(f"note: run jailssh setup: {setup.explained(rest)}")
    return EXIT_OK


def setup_here(context: Context) -> bool:
    """True if the accounts, sshd and PAM are this host's, and set up for jails."""
    return not context.layout.root and setup.was_run(context.layout)


@contextmanager
def _showing(context: Context, revoked: Sequence[Change]) -> Iterator[None]:
    """Show which keys are revoked also where an error stops the rest."""
    try:
        yield
    except BaseException:
        if revoked:
            _show(context, revoked, "")
        raise


def _show(context: Context, found: Sequence[Change], none: str) -> None:
    context.facts([_fact(change) for change in found], [line for change in found for line in _lines(change)] or [none])


def _lines(change: Change) -> list[str]:
    head = f"{change.name or 'a deleted account'} (uid {change.uid}), jail {change.jail or 'none'}:"
    if not change.uid:  # It has no plan.
        head = f"{change.name}:"
    return [head, *(f"  {line}" for line in change.lines)]


def _fact(change: Change) -> dict[str, object]:
    return {"uid": change.uid, "name": change.name, "jail": change.jail, "lines": list(change.lines)}
