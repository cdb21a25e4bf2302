"""``jailssh apply``: check everything, show what changes, publish it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from jailssh.cli.context import Context
from jailssh.config.files import read_main
from jailssh.core.errors import EXIT_OK
from jailssh.core.tries import Tries
from jailssh.host import fs, narrow
from jailssh.image.findings import find, note_lines
from jailssh.image.jail import Configuration, load_configuration
from jailssh.image.publish import Change, changes, publish_all, revocations, withdraw_gone
from jailssh.users import doors, key_removal, setup, transaction

EXAMPLES = ("jailssh apply", "jailssh apply --dry-run")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--dry-run", action="store_true", help="check and show only")


def run(args: argparse.Namespace, context: Context) -> int:
    """Validate, show, publish.  Running sessions keep what they have.

    A mistake stops those alone whom it is about, and what is taken away goes first: all errors come in the end.
    """
    context.need_root("apply")
    layout = context.layout
    if args.dry_run:
        with _showing(context, revocations(layout, act=False)):
            configuration = load_configuration(layout)
            configuration.validate()
            found = changes(configuration)
            shells = doors.set_shells(layout, configuration, act=False) if setup_here(context) else []
    else:
        found = []
        shells = []
        with _showing(context, found):
            configuration = _apply(context, found, shells)
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


def _apply(context: Context, found: list[Change], shells: list[str]) -> Configuration:
    """Take away, then publish; ``found`` and ``shells`` get what changed, errors are raised in the end."""
    layout = context.layout
    tries = Tries()
    # Before anything that a mistake somewhere may stop, and without waiting long for whoever is at work.
    tries("state", lambda: setup.prepare(layout))
    with narrow.lock(setup.lock_path(layout), key_removal.PATIENCE):
        found += revocations(layout, act=True, errors=tries.errors)

    def waiting(pid: int) -> None:
        context.tell(f"waiting for process {pid}, which holds {setup.lock_path(layout)}")

    # Nobody adds or takes away an account or a key meanwhile.
    with fs.lock(setup.lock_path(layout), waiting):
        for line in tries("login shells", lambda: transaction.recover(layout, setup.SHELLS)) or ():
            context.tell(line)
        for line in transaction.others(layout, setup.SHELLS):
            context.tell(line)
        found += revocations(layout, act=True, errors=tries.errors)
        configuration = tries("configuration", lambda: load_configuration(layout))
        if configuration is None:
            # The main file names no jail, so who is in none is known without it; no number is too small then.
            defaults = replace(read_main(b"", layout.config_file), min_uid=1)
            found += withdraw_gone(load_configuration(layout, defaults), tries.errors)
            tries.end()
        assert configuration is not None
        checked = configuration
        tries("configuration", checked.validate)
        if setup_here(context):
            # What confines comes before the plans, which let in.
            shells += tries("login shells", lambda: doors.set_shells(layout, checked, act=True)) or []
        tries("plans", lambda: publish_all(checked, found))
    tries.errors[:] = {str(error): error for error in tries.errors}.values()
    tries.end()
    return configuration


def setup_here(context: Context) -> bool:
    """True if the accounts, sshd and PAM are this host's, and set up for jails."""
    return not context.layout.root and setup.was_run(context.layout)


@contextmanager
def _showing(context: Context, revoked: Sequence[Change]) -> Iterator[None]:
    """Show what has changed also where an error stops the rest."""
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
