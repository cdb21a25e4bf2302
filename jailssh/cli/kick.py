"""``jailssh kick``: end sessions now: all of an account, one by its id, those of a named key."""

from __future__ import annotations

import argparse
import re
from contextlib import suppress

from jailssh.console.context import Context
from jailssh.core import journal_fields as fields
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, HostError, UsageError
from jailssh.core.names import check_account_name, escape, is_number, pluralize
from jailssh.host import accounts
from jailssh.sessions import live
from jailssh.sessions.ending import Ended, Wanted, end
from jailssh.sessions.live import Running
from jailssh.users.key_removal import recorded_uids

EXAMPLES = (
    "jailssh kick alice",
    "jailssh kick alice bob 1007 --message 'back at noon'",
    "jailssh kick 4be9f2c07a51d386",
    "jailssh kick git --key carol",
)

_SESSION = re.compile(r"[0-9a-f]{16}\Z")
_MOST_TOLD = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "account", nargs="*", metavar="ACCOUNT",
        help="account name, the uid of a deleted account, or a session as 'jailssh sessions' shows it",
    )  # fmt: skip
    parser.add_argument("--key", metavar="NAME", help="end only the sessions of this named key")
    parser.add_argument("--message", metavar="TEXT", default="", help="tell the users of the sessions this")


def run(args: argparse.Namespace, context: Context) -> int:
    """End the sessions; new logins are not kept out by it."""
    context.need_real_root("kick")
    if not args.account and args.key is None:
        raise UsageError("kick", "needs ACCOUNT, a session, or --key NAME", hint="jailssh kick --help")
    if args.key == "":
        raise UsageError("--key", "is empty")
    sessions = [each for each in args.account if _is_session(each)]
    people = {each: _uid(context, each) for each in args.account if each not in sessions}
    message = escape(args.message, _MOST_TOLD)
    if args.key is not None:
        return _of_key(context, args.key, sessions, people, message)
    wanted = Wanted(uids=frozenset(people.values()), chosen=lambda each: each.name in sessions)
    if sessions:
        _must_run(context, sessions)
    ended = end(context.layout, wanted, message)
    code = EXIT_OK
    for name, uid in people.items():
        of_it = [each for each in ended.sessions if each.outer.uid == uid and each.name not in sessions]
        alone = sum(each.uid == uid for each in ended.connections)
        without = f", {pluralize(alone, 'connection')} without one" if alone else ""
        background = " and what was in the background" if uid in ended.kept else ""
        left = "" if uid not in ended.left else _LEFT
        line = f"{name}: ended {pluralize(len(of_it), 'session')}{without}{background}{left}"
        context.changed([line], {fields.USER: name})
        code = EXIT_FAILED if left else code
    return max(code, _one_by_one(context, sessions, ended))


_LEFT = "; some processes do not end, or new ones start: check that the account is still in its jail"


def _one_by_one(context: Context, sessions: list[str], ended: Ended) -> int:
    code = EXIT_OK
    running = {each.name for each in live.take(context.layout).sessions} if sessions else set()
    for each in ended.sessions:
        if each.name in sessions:
            user = live.names_of({each.outer.uid}).get(each.outer.uid, str(each.outer.uid))
            goes_on = each.name in running
            line = f"session {each.name} of {user}: " + ("does not end" if goes_on else "ended")
            context.changed([line], {fields.USER: user})
            code = EXIT_FAILED if goes_on else code
    return code


def _of_key(context: Context, key: str, sessions: list[str], people: dict[str, int], message: str) -> int:
    if sessions:
        raise UsageError("kick", "takes either a session or --key NAME")
    uids = set(people.values())

    def chosen(each: Running) -> bool:
        return each.mark is not None and each.mark.key == key and (not uids or each.outer.uid in uids)

    ended = end(context.layout, Wanted(chosen=chosen), message)
    names = live.names_of({each.outer.uid for each in ended.sessions})
    whose = sorted({names.get(each.outer.uid, str(each.outer.uid)) for each in ended.sessions}) or sorted(people)
    left = _LEFT if ended.left else ""
    of_whom = f" of {', '.join(whose)}" if whose else ""
    line = f"key {escape(key)}{of_whom}: ended {pluralize(len(ended.sessions), 'session')}{left}"
    context.changed([line], {fields.KEY: key, **({fields.USER: whose[0]} if len(whose) == 1 else {})})
    return EXIT_FAILED if ended.left else EXIT_OK


def _must_run(context: Context, sessions: list[str]) -> None:
    running = {each.name for each in live.take(context.layout).sessions}
    for each in sessions:
        if each not in running:
            raise UsageError(f"session {each}", "does not run", hint="jailssh sessions")


def _is_session(word: str) -> bool:
    """True for a session's id that is no account's name."""
    if not _SESSION.match(word):
        return False
    with suppress(HostError):
        return is_number(word) or accounts.find(word) is None
    return False


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
