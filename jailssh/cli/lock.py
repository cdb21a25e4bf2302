"""``jailssh lock``: refuse the logins of an account that stays in its jail, or for a while those of all."""

from __future__ import annotations

import argparse

from jailssh.cli.learn import seconds
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, UsageError
from jailssh.core.journal_fields import USER
from jailssh.core.names import escape, pluralize
from jailssh.host import accounts
from jailssh.sessions import live
from jailssh.sessions.ending import Wanted, end
from jailssh.users import locking, pausing

EXAMPLES = (
    "jailssh lock alice",
    "jailssh lock alice bob --kick",
    "jailssh lock --no-new-logins --for 2h --message 'disks are replaced'",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="accounts that are in a jail by name")
    parser.add_argument("--kick", action="store_true", help="also end their sessions")
    parser.add_argument(
        "--no-new-logins", action="store_true", help="refuse all logins into jails, until the end or a reboot"
    )
    parser.add_argument("--for", dest="duration", metavar="TIME", help="how long: 90s, 30m, 2h, 7d; else until unlock")
    parser.add_argument("--message", metavar="TEXT", default="", help="tell those who are refused this")


def run(args: argparse.Namespace, context: Context) -> int:
    """Refuse new logins; with ``--kick`` no session goes on either."""
    context.need_real_root("lock")
    if args.no_new_logins:
        return _pause(args, context)
    if not args.names or args.duration or args.message:
        raise UsageError("lock", "needs NAME, or --no-new-logins for --for and --message", hint="jailssh lock --help")
    code = EXIT_OK
    for name in args.names:
        done = locking.lock(context.layout, name)
        lines = list(done.lines)
        if args.kick:
            ended = end(context.layout, Wanted(uids=frozenset((accounts.get(name).uid,))))
            left = "; some processes do not end" if ended.left else ""
            lines.append(f"{name}: ended {pluralize(len(ended.sessions), 'session')}{left}")
            code = EXIT_FAILED if ended.left else code
        if done.changed or args.kick:
            context.changed(lines, {USER: name})
        else:
            context.say(lines)
    return code


def _pause(args: argparse.Namespace, context: Context) -> int:
    if args.names:
        raise UsageError("--no-new-logins", "cannot be combined with NAME: it is for all accounts in jails")
    pause = pausing.begin(context.layout, seconds(args.duration) if args.duration else 0, args.message)
    lines = [f"users are told: {pause.said}", "sessions go on; to allow logins again: jailssh unlock --no-new-logins"]
    code = EXIT_OK
    if args.kick:
        uids = frozenset(each.outer.uid for each in live.take(context.layout).sessions)
        ended = end(context.layout, Wanted(uids=uids), args.message and escape(args.message))
        lines[1] = f"ended {pluralize(len(ended.sessions), 'session')}{'; some do not end' if ended.left else ''}"
        code = EXIT_FAILED if ended.left else EXIT_OK
    context.changed(lines, {})
    return code
