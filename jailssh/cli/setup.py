"""``jailssh setup``: prepare the host, or take that back; shows the changes before it makes them."""

from __future__ import annotations

import argparse

from jailssh.change import transaction
from jailssh.cli.adduser import add_key_arguments, key_choice
from jailssh.config.jails import groups_of
from jailssh.config.reader import Document
from jailssh.console.context import ASSUME_YES, Context
from jailssh.core.errors import EXIT_OK, JailsshError, raise_all
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.publish.publish import Publisher
from jailssh.setup import proof, running, setup

EXAMPLES = ("jailssh setup", "jailssh setup --yes", "jailssh setup --undo")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--undo", action="store_true", help="restore the state before setup")
    parser.add_argument("--yes", action="store_true", help=ASSUME_YES)
    add_key_arguments(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Set the host up, or undo it."""
    context.need_real_root("setup")
    layout = context.layout
    if args.undo:
        return _undo(context)
    groups = Publisher(layout).groups
    proof.check(layout)
    setup.check_candidate(layout, groups)
    choice = key_choice(args)
    changes = setup.plan(layout, groups, choice)
    if not changes:
        with fs.lock(layout.lock):
            settled = [*transaction.recover(layout, setup.SUBJECT), *running.settle_old(layout)]
            proven = [*proof.prove(layout, setup.GROUP), *running.notes(layout)]
        said = (
            "this host is set up (an interrupted change is completed)"
            if settled
            else "nothing to do: this host is set up"
        )
        lines = [said, *settled, *setup.verify(layout), *proven]
        if settled:
            context.changed(lines, {})
        else:
            context.say(lines)
        return EXIT_OK
    context.say(line for change in changes for line in change.lines)
    if groups:
        context.tell(
            f"note: members of {', '.join(groups)} can log in only with login shell {layout.login_program}: jailssh "
            "apply sets it for local accounts; for others set it in the directory service (SSSD: override_shell); keys "
            "in homes are used only if the jail has home_keys = yes, and are copied of no more than "
            f"{setup.MOST_ELSEWHERE} accounts of a directory"
        )
    _ask(context, "Make these changes?")
    setup.prepare(layout)
    with fs.lock(layout.lock):
        notes = transaction.recover(layout, setup.SUBJECT)
        done = setup.apply(layout, setup.plan(layout, groups, choice), prove=lambda: proof.prove(layout, setup.GROUP))
        lines = ["this host is set up", *done, *notes]
    context.changed(lines, {})
    return EXIT_OK


def _undo(context: Context) -> int:
    layout = context.layout
    groups = _groups(layout)
    setup.check_unused(layout, groups)
    if not setup.was_run(layout):
        context.say(["nothing to undo: jailssh setup has not been run"])
        return EXIT_OK
    _ask(context, "Remove the group, the sshd drop-in and the login program's set-id mode, and disable the units?")
    with fs.lock(layout.lock):
        transaction.recover(layout, setup.SUBJECT)
        context.changed(setup.take_back(layout, groups), {})
    return EXIT_OK


def _groups(layout: Layout) -> dict[str, list[str]]:
    """Return the Unix groups whose members are in a jail, each with its jails; raises for a jail that is broken."""
    documents = load_configuration(layout).documents
    raise_all([each for each in documents.values() if isinstance(each, JailsshError)])
    found: dict[str, list[str]] = {}
    for name, document in sorted(documents.items()):
        for group in groups_of(document) if isinstance(document, Document) else ():
            found.setdefault(group, []).append(name)
    return found


def _ask(context: Context, question: str) -> None:
    if not context.confirm(question):
        raise JailsshError("setup", "aborted; nothing changed")
