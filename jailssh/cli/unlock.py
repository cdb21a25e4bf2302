"""``jailssh unlock``: allow the logins of an account again that ``jailssh lock`` refused."""

from __future__ import annotations

import argparse

from jailssh.console.context import Context
from jailssh.core.errors import EXIT_OK
from jailssh.core.journal_fields import USER
from jailssh.users import locking

EXAMPLES = ("jailssh unlock alice", "jailssh unlock alice bob")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="accounts that jailssh lock has locked")


def run(args: argparse.Namespace, context: Context) -> int:
    """Put each account's expiry back."""
    context.need_real_root("unlock")
    for name in args.names:
        context.changed(locking.unlock(context.layout, name).lines, {USER: name})
    return EXIT_OK
