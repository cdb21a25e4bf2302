"""``jailssh deluser``: take an account out of its jail."""

from __future__ import annotations

import argparse
from functools import partial

from jailssh.console.context import ASSUME_YES, Context
from jailssh.core.errors import EXIT_OK
from jailssh.core.journal_fields import USER
from jailssh.publish.publish import withdraw_plan
from jailssh.users import deluser

EXAMPLES = (
    "jailssh deluser alice",
    "jailssh deluser alice --now",
    "jailssh deluser alice --keep-account",
    "jailssh deluser alice --remove-home --yes",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="account name; an account that existed before is restored exactly")
    parser.add_argument("--keep-account", action="store_true", help="keep an account that adduser created")
    parser.add_argument("--remove-home", action="store_true", help="also remove the home of a deleted account")
    parser.add_argument("--now", action="store_true", help="also end its sessions and all its other processes")
    parser.add_argument("--yes", action="store_true", help=f"when asked to delete an account, {ASSUME_YES}")


def run(args: argparse.Namespace, context: Context) -> int:
    """Take the account out of its jail."""
    context.need_real_root("deluser")
    wish = deluser.DelUserOptions(args.name, args.keep_account, args.remove_home, args.now)
    try:
        lines = deluser.deluser(context.layout, wish, partial(withdraw_plan, context.layout), context.confirm)
    except deluser.NotFinishedError as error:
        context.changed(error.done, {USER: args.name})
        raise
    context.changed(lines, {USER: args.name})
    return EXIT_OK
