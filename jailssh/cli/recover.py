"""``jailssh recover``: end changes that were interrupted."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from jailssh.change import transaction
from jailssh.change.transaction import Unfinished
from jailssh.console.context import ASSUME_YES, Context
from jailssh.core.errors import EXIT_OK, JailsshError, UsageError
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.selftest import leftovers

EXAMPLES = ("jailssh recover", "jailssh recover alice", "jailssh recover account-alice --yes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("subject", nargs="?", metavar="SUBJECT", help="account, or subject as shown by jailssh list")
    parser.add_argument("--yes", action="store_true", help=ASSUME_YES)
    parser.description = (
        "Settle changes that a kill or a power cut interrupted.  Steps that confine are kept; steps that grant access\n"
        "are rolled back.  No account and no home is deleted, but those that a selftest has made, and unused ones\n"
        "of an import, which is rolled back as a whole, or completed.\n"
        "Without SUBJECT: all interrupted changes."
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Show what is unfinished, ask, end it."""
    context.need_real_root("recover")
    found = [each for each in transaction.unfinished(context.layout) if _is_meant(each, args.subject)]
    if not found:
        about = f" of {escape(args.subject, 60)}" if args.subject else ""
        context.facts([], [f"no unfinished change{about}"])
        return EXIT_OK
    if context.json:
        context.facts([asdict(each) for each in found], ())
    for each in found:
        context.tell(each.line())
        for line in _effect(each):
            context.tell(f"  {line}")
        if not each.alive:
            _end(context, each)
    return EXIT_OK


def _is_meant(each: Unfinished, wanted: str | None) -> bool:
    kinds = ("", "account-", "keys-", "lock-", "rename-", "selftest-", "selftest-made-")
    return wanted is None or not {each.subject, *each.parts}.isdisjoint(f"{kind}{wanted}" for kind in kinds)


def _effect(each: Unfinished) -> list[str]:
    """Return what settling does, for people."""
    if each.alive:
        return ["its process is still running: wait for it, or end it"]
    lines = [f"kept: {', '.join(each.stays)}"] if each.stays else []
    lines += [f"rolled back: {', '.join(each.goes)}"] if each.goes else []
    if each.damaged:
        lines.append("its journal is moved away; what the change did stays, and the state before it is unknown")
    return [*lines, *([f"then, to complete it: {each.again}"] if each.again else [])]


def _end(context: Context, each: Unfinished) -> None:
    of_selftest = leftovers.is_subject(each.subject) and not each.damaged
    if not (each.stays or each.goes or each.damaged or of_selftest):
        return  # Its command alone ends it, as was said.
    if not context.confirm("End it?"):
        raise JailsshError("recover", f"aborted; {each.subject} is unchanged")
    layout = context.layout
    if of_selftest:
        lines = leftovers.settle(layout, each.subject)
    else:
        with fs.lock(layout.lock):
            if each.damaged:
                lines = [f"{each.subject}: the damaged journal is now {transaction.put_aside(layout, each.subject)}"]
            else:
                lines = transaction.recover(layout, each.subject)
    if not lines:
        raise UsageError(f"recover {each.subject}", "is already settled by another process")
    if context.json:
        return
    context.changed(lines, {})
