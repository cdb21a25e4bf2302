"""``jailssh rename``: give an account that is in a jail another name."""

from __future__ import annotations

import argparse

from jailssh.console.context import Context
from jailssh.core.errors import EXIT_OK
from jailssh.core.journal_fields import USER
from jailssh.publish.publish import Publisher
from jailssh.users import renaming
from jailssh.users.renaming import RenameOptions

EXAMPLES = ("jailssh rename alice alice.b", "jailssh rename alice alice.b --now")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("old", metavar="OLD", help="account that is in a jail by name")
    parser.add_argument("new", metavar="NEW", help="name that no account and no group has")
    parser.add_argument(
        "--now", action="store_true", help="also while it is logged in; sessions keep the old name until they end"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Rename the account, or change nothing."""
    context.need_real_root("rename")
    wish = RenameOptions(args.old, args.new, args.now)
    done = renaming.rename_account(context.layout, wish, Publisher(context.layout))
    context.changed(done.lines, {USER: args.new})
    return EXIT_OK
