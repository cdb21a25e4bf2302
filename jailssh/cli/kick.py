"""``jailssh kick``: end every session of an account at once."""

from __future__ import annotations

import argparse
from contextlib import suppress

from jailssh.console.context import Context
from jailssh.core import journal_fields as fields
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, HostError, UsageError
from jailssh.core.names import check_account_name, is_number, pluralize
from jailssh.host import accounts
from jailssh.services.sessions import end_sessions
from jailssh.users.key_removal import recorded_uids

EXAMPLES = ("jailssh kick alice", "jailssh kick alice bob 1007")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("account", nargs="+", metavar="ACCOUNT", help="account name, or the uid of a deleted account")


def run(args: argparse.Namespace, context: Context) -> int:
    """End the sessions; new logins are not kept out by it."""
    context.need_real_root("kick")
    code = EXIT_OK
    for name, uid in [(name, _uid(context, name)) for name in args.account]:
        ended = end_sessions(uid, context.layout.login_program)
        background = " and what was in the background" if ended.kept else ""
        left = (
            ""
            if ended.all
            else "; some processes do not end, or new ones start: check that the account is still in its jail"
        )
        line = f"{name}: ended {pluralize(ended.sessions, 'session')}{background}{left}"
        context.changed([line], {fields.USER: name})
        code = code if ended.all else EXIT_FAILED
    return code


def _uid(context: Context, name: str) -> int:
    uid = int(name) if is_number(name) else _uid_of(context, check_account_name(name))
    if uid == 0:
        raise UsageError("account root", "cannot be in a jail")
    return uid


def _uid_of(context: Context, name: str) -> int:
    """Return the account's uid: where NSS does not tell it, the recorded one, if nobody else has it now."""
    with suppress(HostError):  # a directory that is away keeps no session open
        if entry := accounts.find(name):
            return entry.uid
    recorded = [uid for uid in recorded_uids(context.layout, name) if not set(accounts.names_of_uid(uid)) - {name}]
    if len(recorded) != 1:
        raise UsageError(f"account {name}", "does not exist", hint="for a deleted account, give its uid")
    return recorded[0]
