"""``jailssh plan``: what a login of an account does, and what would change."""

from __future__ import annotations

import argparse

from jailssh.console.context import Context
from jailssh.core.errors import EXIT_OK, JailsshError, raise_all
from jailssh.diagnose.explain import entry_plan, no_plan
from jailssh.host import accounts
from jailssh.jail.configuration import load_configuration
from jailssh.plan import codec
from jailssh.plan.codec import Plan
from jailssh.publish import entered
from jailssh.publish.each import changes
from jailssh.publish.plan_files import keys_of, login_plan, read_plan

EXAMPLES = (
    "jailssh plan show alice",
    "jailssh plan show alice --diff",
    "jailssh plan show git --key bob",
    "jailssh plan show carol --enter web",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("action", choices=("show",), help="show the published plan")
    parser.add_argument("user", metavar="USER", help="account name")
    parser.add_argument("--key", metavar="NAME", help="named key of a shared account")
    parser.add_argument("--enter", metavar="JAIL", help="what it does that enters this jail, and does not log in")
    parser.add_argument("--diff", action="store_true", help="show the changes that jailssh apply publishes")


def run(args: argparse.Namespace, context: Context) -> int:
    """Show a plan."""
    context.need_root("plan")
    entry = accounts.get(args.user)
    if args.diff:
        configuration, errors = load_configuration(context.layout), list[JailsshError]()
        every = [*changes(configuration), *entered.pending_entries(configuration, errors)]
        raise_all(errors)
        found = [change for change in every if change.uid == entry.uid]
        lines = [line for change in found for line in change.lines]
        context.facts(lines, lines or ["no changes"])
        return EXIT_OK
    present: Plan | None
    if args.enter is not None:
        present = entry_plan(context.layout, entry, args.enter)
    elif args.key is None:
        present = read_plan(context.layout, entry.uid)
    else:
        present = login_plan(context.layout, entry.uid, entry.name, args.key)
    if present is None:
        raise no_plan(context.layout, entry)
    facts = {
        "uid": present.uid,
        "gid": present.gid,
        "name": present.name,
        "serial": present.serial,
        "keys": keys_of(present),
        "records": [[record.verb, *record.args] for record in present.records],
    }
    context.facts(facts, codec.show(present))
    return EXIT_OK
