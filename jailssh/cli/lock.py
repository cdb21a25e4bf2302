"""``jailssh lock``: refuse the logins of an account that stays in its jail."""

from __future__ import annotations

import argparse

from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK
from jailssh.core.journal_fields import USER
from jailssh.core.names import pluralize
from jailssh.host import accounts
from jailssh.services.sessions import end_sessions
from jailssh.users import locking

EXAMPLES = ("jailssh lock alice", "jailssh lock alice bob --kick")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="accounts that are in a jail by name")
    parser.add_argument("--kick", action="store_true", help="also end their sessions")


def run(args: argparse.Namespace, context: Context) -> int:
    """Refuse new logins; with ``--kick`` no session goes on either."""
    context.need_real_root("lock")
    code = EXIT_OK
    for name in args.names:
        done = locking.lock(context.layout, name)
        lines = list(done.lines)
        if args.kick:
            ended = end_sessions(accounts.get(name).uid, context.layout.login_program)
            left = "" if ended.all else "; some processes do not end"
            lines.append(f"{name}: ended {pluralize(ended.sessions, 'session')}{left}")
            code = code if ended.all else EXIT_FAILED
        if done.changed or args.kick:
            context.changed(lines, {USER: name})
        else:
            context.say(lines)
    return code
