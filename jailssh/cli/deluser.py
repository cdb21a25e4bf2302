"""``jailssh deluser``: take accounts out of their jails."""

from __future__ import annotations

import argparse
from functools import partial

from jailssh.config import account_list
from jailssh.console import progress
from jailssh.console.context import ASSUME_YES, Context
from jailssh.console.inputs import read_named
from jailssh.core.errors import EXIT_OK, ManyErrors, UsageError, distinct
from jailssh.core.journal_fields import USER
from jailssh.publish.publish import withdraw_plan
from jailssh.users import deluser, many_del
from jailssh.users.deluser import DelUserOptions

EXAMPLES = (
    "jailssh deluser alice",
    "jailssh deluser alice --now",
    "jailssh deluser alice bob --keep-account",
    "jailssh deluser alice --remove-home --yes",
    "jailssh deluser --from accounts.csv --yes",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="account names; an account that existed before is restored exactly"
    )
    parser.add_argument(
        "--from",
        dest="list",
        metavar="FILE",
        help="accounts from the column 'name' of a CSV file, - for standard input",
    )
    parser.add_argument("--keep-account", action="store_true", help="keep an account that adduser created")
    parser.add_argument("--remove-home", action="store_true", help="also remove the home of a deleted account")
    parser.add_argument("--now", action="store_true", help="also end its sessions and all its other processes")
    parser.add_argument("--yes", action="store_true", help=f"when asked to delete an account, {ASSUME_YES}")


def run(args: argparse.Namespace, context: Context) -> int:
    """Take the accounts out of their jails."""
    context.need_real_root("deluser")
    if bool(args.names) == (args.list is not None):
        raise UsageError("deluser", "needs either NAME or --from FILE", hint="jailssh deluser --help")
    names = args.names or _listed(args.list)
    wishes = [DelUserOptions(name, args.keep_account, args.remove_home, args.now) for name in names]
    withdraw = partial(withdraw_plan, context.layout, tidy=len(wishes) == 1)
    done = _one(wishes[0], context, withdraw) if len(wishes) == 1 else _many(wishes, context, withdraw)
    for each in done:
        context.record(each.lines, {USER: each.name})
        if not context.json:
            context.say(each.lines)
    if context.json:
        rows = [{"name": d.name, "done": not d.errors, "lines": list(d.lines)} for d in done]
        context.facts(rows, ())
    errors = distinct(error for each in done for error in each.errors)
    if errors:
        failed = ManyErrors(errors)
        failed.exit_code = errors[0].exit_code
        raise failed
    return EXIT_OK


def _one(wish: DelUserOptions, context: Context, withdraw: partial[bool]) -> list[many_del.Deleted]:
    try:
        lines = deluser.deluser(context.layout, wish, withdraw, context.confirm)
    except deluser.NotFinishedError as error:
        return [many_del.Deleted(wish.name, tuple(error.done), tuple(error.errors))]
    return [many_del.Deleted(wish.name, tuple(lines))]


def _many(wishes: list[DelUserOptions], context: Context, withdraw: partial[bool]) -> list[many_del.Deleted]:
    with progress.bar("deluser") as show:
        return many_del.del_many(context.layout, wishes, withdraw, context.confirm, show)


def _listed(path: str) -> list[str]:
    data = read_named(path, f"--from {path}", account_list.MAX_LIST, "a list of accounts")
    source = "standard input" if path == "-" else path
    names = [row.name for row in account_list.read(data, source)]
    if not names:
        raise UsageError(source, "names no account")
    return names
