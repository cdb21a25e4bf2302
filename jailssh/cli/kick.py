"""``jailssh kick``: end every session of an account at once."""

from __future__ import annotations

import argparse

from jailssh.cli.context import Context
from jailssh.core import journal_fields as fields
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, UsageError
from jailssh.core.names import check_account_name, counted
from jailssh.host import accounts
from jailssh.host.sessions import end_sessions

EXAMPLES = ("jailssh kick alice", "jailssh kick alice bob 1007")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("account", nargs="+", metavar="ACCOUNT", help="name, or the uid of an account that is gone")


def run(args: argparse.Namespace, context: Context) -> int:
    """End the sessions; new logins are not kept out by it."""
    context.need_real_root("kick")
    code = EXIT_OK
    for name, uid in [(name, _uid(name)) for name in args.account]:
        jails, ended = end_sessions(uid, context.layout.login_program)
        left = "" if ended else "; some processes do not end or new ones keep coming: is the account still in its jail?"
        context.changed([f"{name}: ended {counted(jails, 'session')}{left}"], {fields.USER: name})
        code = code if ended else EXIT_FAILED
    return code


def _uid(name: str) -> int:
    if name.isdecimal():
        uid = int(name)
    else:
        entry = accounts.find(check_account_name(name))
        if entry is None:
            raise UsageError(f"account {name}", "there is no such account", hint="for one that is gone give its uid")
        uid = entry.uid
    if uid == 0:
        raise UsageError("account root", "is in no jail")
    return uid
