"""``jailssh apply``: check everything, show what changes, publish it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from jailssh.cli.context import Context
from jailssh.config.reader import raise_all
from jailssh.core.errors import EXIT_OK, JailsshError, UsageError
from jailssh.host import fs
from jailssh.host.accounts import UnansweredError
from jailssh.image.findings import find, note_lines
from jailssh.image.jail import Configuration, load_configuration
from jailssh.image.publish import Change, changes, publish_each, revocations
from jailssh.users import doors, gone, setup, transaction

EXAMPLES = ("jailssh apply", "jailssh apply --dry-run", "jailssh apply --gone")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--dry-run", action="store_true", help="check and show only")
    parser.add_argument(
        "--gone", action="store_true", help="only set aside what belongs to accounts that are gone; for the unit"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Validate, show, publish.  Running sessions keep what they have.

    What is wrong with one account is told in the end and stops nobody else's plan.
    """
    context.need_root("apply")
    layout = context.layout
    if args.gone and layout.root:
        raise UsageError("--gone", "looks at the accounts of this host, which are not those of another root")
    if args.dry_run:
        return _apply(context, act=False, only_gone=args.gone)
    setup.prepare(layout)
    # Nobody adds or takes away an account or a key meanwhile.
    with fs.lock(setup.lock_path(layout)):
        return _apply(context, act=True, only_gone=args.gone)


def _apply(context: Context, *, act: bool, only_gone: bool) -> int:
    layout = context.layout
    # Before anything that a mistake somewhere may stop: who is gone, and keys that no file names any more.
    found: list[Change] = []
    errors: list[JailsshError] = []
    if not layout.root:
        found, errors = gone.check(layout, act=act)
    if only_gone:
        _show(context, found, "nobody is gone")
        raise_all(errors)
        return EXIT_OK
    with _showing(context, found):
        left = (*transaction.recover(layout, setup.SHELLS), *transaction.others(layout, setup.SHELLS)) if act else ()
        for line in left:
            context.tell(line)
        found += revocations(layout, act=act)
    with _showing(context, found):
        configuration = load_configuration(layout)
        configuration.validate_jails()
        wrong = configuration.account_errors()
        errors += [error for each in wrong.values() for error in each]
        # What confines comes before the plans, which let in.
        shells = doors.set_shells(layout, configuration, act=act, errors=errors) if setup_here(context) else []
    if act:
        published, of_accounts = publish_each(configuration, wrong)
        errors += of_accounts
        found += published
    else:
        found += changes(configuration, wrong, errors)
    context.say(shells if not context.json else ())
    _show(context, found, "no change" if act else "nothing would change")
    try:
        _tell_notes(context, configuration)
    except UnansweredError as error:
        errors.append(error)
    raise_all(list({str(error): error for error in errors}.values()))
    return EXIT_OK


def _tell_notes(context: Context, configuration: Configuration) -> None:
    findings = find(configuration)
    for line in note_lines([*findings.wrong, *findings.notes]):
        context.tell(line)
    if setup_here(context):
        for line in note_lines(doors.findings(context.layout, configuration)):
            context.tell(line)
    if not context.layout.root and (rest := setup.pending(context.layout, configuration.groups())):
        context.tell(f"note: run jailssh setup: {setup.explained(rest)}")


def setup_here(context: Context) -> bool:
    """True if the accounts, sshd and PAM are this host's, and set up for jails."""
    return not context.layout.root and setup.was_run(context.layout)


@contextmanager
def _showing(context: Context, revoked: Sequence[Change]) -> Iterator[None]:
    """Show who and which keys are shut out also where an error stops the rest."""
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
