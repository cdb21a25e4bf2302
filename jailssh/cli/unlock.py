"""``jailssh unlock``: allow the logins of an account again that ``jailssh lock`` refused."""

from __future__ import annotations

import argparse

from jailssh.console.context import Context
from jailssh.core.errors import EXIT_OK, UsageError, raise_all
from jailssh.core.journal_fields import USER
from jailssh.setup import afterwards
from jailssh.users import locking, pausing

EXAMPLES = ("jailssh unlock alice", "jailssh unlock alice bob", "jailssh unlock --no-new-logins")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="accounts that jailssh lock has locked")
    parser.add_argument("--no-new-logins", action="store_true", help="allow all logins into jails again")


def run(args: argparse.Namespace, context: Context) -> int:
    """Put each account's expiry back."""
    context.need_real_root("unlock")
    if bool(args.names) == args.no_new_logins:
        raise UsageError("unlock", "needs either NAME or --no-new-logins", hint="jailssh unlock --help")
    if args.no_new_logins:
        if pausing.end(context.layout):
            context.changed(["new logins are allowed again"], {})
        else:
            context.say(["new logins were allowed, nothing changed"])
    for name in args.names:
        context.changed(locking.unlock(context.layout, name).lines, {USER: name})
    if args.names:  # apply leaves out who is locked
        lines, errors = afterwards.settle(context.layout, args.names)
        context.say(lines)
        raise_all(errors)
    return EXIT_OK
