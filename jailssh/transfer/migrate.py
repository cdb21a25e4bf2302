"""``jailssh migrate``: bring in the accounts that other programs confine, and take that back."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

from jailssh.console.context import ASSUME_YES, Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, JailsshError, UsageError, raise_all
from jailssh.core.names import check_account_name, pluralize
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.migration import apply, report
from jailssh.migration.inventory import Inventory, take
from jailssh.migration.table import SOURCES
from jailssh.migration.this_host import RealHost
from jailssh.publish.publish import Publisher
from jailssh.selftest import matrix
from jailssh.selftest.matrix import Difference
from jailssh.selftest.own_server import own_connection
from jailssh.setup import afterwards
from jailssh.setup.home_keys import DROP, LEAVE_OUT
from jailssh.sources.found import Found

EXAMPLES = (
    "jailssh migrate",
    "jailssh migrate jailkit --apply",
    "jailssh migrate --user alice --apply",
    "jailssh migrate --undo",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "source",
        nargs="*",
        metavar="FROM",
        help=f"programs whose accounts are meant: {', '.join(SOURCES)} (default: all)",
    )
    parser.add_argument(
        "--user", action="append", default=[], metavar="NAME", help="only this account; repeatable.  Also one that its "
        "program refuses today"
    )  # fmt: skip
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="show what would change, and change nothing (the default)")
    what.add_argument("--apply", action="store_true", help="write the jails and put each account into its jail")
    what.add_argument("--undo", action="store_true", help="take back what --apply did, of FROM and --user if given")
    parser.add_argument(
        "--key-commands",
        choices=(DROP, LEAVE_OUT),
        default="",
        help="keys in homes that are limited to a command: drop the limit (the key can use the whole jail), or leave "
        "the key out",
    )
    parser.add_argument("--on-demand", action="store_true", help="build images and plans at the first logins")
    parser.add_argument("--force", action="store_true", help="allow system accounts and privileged groups")
    parser.add_argument("--now", action="store_true", help="allow logged-in accounts; what runs stays unconfined")
    parser.add_argument(
        "--disable", action="store_true", help="set aside cron and at jobs, lingering, .forward and similar files"
    )
    parser.add_argument(
        "--try-logins",
        action="store_true",
        help="log in to each account before and after; one that loses what should work, or may do more, is taken back",
    )
    parser.add_argument("--yes", action="store_true", help=f"when asked to go ahead, {ASSUME_YES}")


def run(args: argparse.Namespace, context: Context) -> int:
    """Show, bring in, or take back."""
    context.need_real_root("migrate")
    people = [check_account_name(name) for name in args.user]
    if unknown := [name for name in args.source if name not in SOURCES]:
        raise UsageError(f"source {unknown[0]!r}", "does not exist", hint=f"one of: {', '.join(SOURCES)}")
    if args.undo:
        return _undo(args, context, people)
    configuration = load_configuration(context.layout)
    host = RealHost(context.layout)
    inventory = take(configuration, host, args.source, people)
    if not args.apply:
        _show(inventory, context)
        raise_all(list(inventory.errors))
        return EXIT_OK
    # What cannot be read may be about anybody, so nothing is done on half of it.
    raise_all(list(inventory.errors))
    return _apply(args, context, inventory, host)


def _show(inventory: Inventory, context: Context) -> None:
    context.facts(report.facts(inventory, context.layout), report.lines(inventory, context.layout))


def _apply(args: argparse.Namespace, context: Context, inventory: Inventory, host: RealHost) -> int:
    plan = inventory.wanted
    if not plan.found:
        context.facts({"accounts": [], "files": []}, ["nothing to bring in, nothing changed"])
        return EXIT_OK
    if not context.yes:
        for line in report.lines(inventory, context.layout):
            context.tell(line)
    if not context.confirm(f"Put {pluralize(len(plan.found), 'account')} into jails?"):
        raise JailsshError("migrate", "aborted; nothing changed")
    publisher = Publisher(context.layout)
    written = apply.write_jails(context.layout, plan, publisher)
    trial = partial(_trial, context.layout) if args.try_logins else None
    how = apply.How(
        commands=args.key_commands,
        force=args.force,
        now=args.now,
        disable=args.disable,
        on_demand=args.on_demand,
        trial=trial,
    )
    rows, errors, done = [], [], []
    if not context.json:
        context.say(written)
    for result in apply.bring(context.layout, plan, publisher, how):
        rows.append({"account": result.account, "done": result.error is None, "lines": list(result.lines),
                     "error": str(result.error) if result.error else ""})  # fmt: skip
        if result.error is None:
            done.append(result.account)
        if result.error:
            errors.append(result.error)
            context.tell(f"{result.account}: not brought in: {result.error}")
        elif not context.json:
            context.changed(result.lines, {})
    shell = apply.settle_shell(context.layout, host, done)
    after, wrong = afterwards.settle(context.layout, done) if done else ([], [])
    for error in wrong:
        context.tell(str(error))
    errors += wrong
    if not context.json:
        context.say([*shell, *after])
    lines = [f"{len(done)} of {pluralize(len(rows), 'account')} brought in; to take it back: jailssh migrate --undo"]
    context.facts({"accounts": rows, "files": [*written, *shell]}, lines)
    return EXIT_FAILED if errors else EXIT_OK


def _trial(layout: Layout, found: Found) -> Callable[[], list[str]]:
    """Log in to the account as it is; return what does so again, and compares."""
    places = {name: next(iter(each), "") for name, each in _places(found).items()}
    with own_connection(layout, found.account, found.options) as connection:
        before = matrix.ask(connection, {})

    def after() -> list[str]:
        with own_connection(layout, found.account) as connection:
            now = matrix.ask(connection, places)
        became = matrix.compare(before, now, found.uses)
        bad = [name for name, what in became.items() if what in (Difference.LOST, Difference.OPENED)]
        if bad:
            said = "; ".join(f"{became[name]}: {name} ({now[name].told})" for name in bad)
            raise JailsshError(f"account {found.account}", said, hint="see: jailssh migrate --plan")
        told = [f"{became[name]}: {name}" for name in became if became[name] != Difference.SAME]
        works = ", ".join(name for name, each in now.items() if each.works)
        return [f"{found.account}: logins tried before and after: works: {works or 'nothing'}", *told]

    return after


def _places(found: Found) -> dict[str, tuple[str, ...]]:
    """Return the directories at which the new jail has rsync and git."""
    keys = {"rsync": ("read", "write"), "git": ("read", "write", "roots")}
    listed = {
        name: [value for key in named for value in _listed(found.settings.get(name, {}).get(key, ()))]
        for name, named in keys.items()
    }
    home = found.inside or "."
    return {name: tuple(each.replace("~", home, 1) for each in values) for name, values in listed.items() if values}


def _listed(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _undo(args: argparse.Namespace, context: Context, people: list[str]) -> int:
    if not context.confirm("Take the accounts that migrate brought in out of their jails, back to what they were?"):
        raise JailsshError("migrate", "aborted; nothing changed")
    lines = apply.undo_all(context.layout, Publisher(context.layout), args.source, people)
    context.changed(lines or ["nothing was brought in, nothing changed"], {})
    return EXIT_OK
