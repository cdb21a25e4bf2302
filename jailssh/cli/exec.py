"""``jailssh exec``: run a command in a session that runs, as its account and with no more rights."""

from __future__ import annotations

import argparse
import os
import re

from jailssh.console.context import Context
from jailssh.core import journal_fields as fields
from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import escape
from jailssh.host import process
from jailssh.publish.plan_files import readable_entry, readable_plan
from jailssh.services import joining
from jailssh.sessions import live
from jailssh.sessions.live import Running

EXAMPLES = ("jailssh exec alice -- ps aux", "jailssh exec 4be9f2c07a51d386 -- sh")
TAKES_COMMAND = True

_TERM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,40}\Z")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "account", metavar="USER", help="account, whose newest session is meant, or a session of 'jailssh sessions'"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Run the command and return its exit status."""
    context.need_real_root("exec")
    if not args.command:
        raise UsageError("exec", "needs a command behind --", hint="jailssh exec --help")
    program = args.command[0]
    if "/" in program and not program.startswith("/"):
        raise UsageError(f"command {program!r}", "is neither a name nor an absolute path")
    layout = context.layout
    session = _session(context, args.account)
    uid = session.outer.uid
    key = session.mark.key if session.mark else ""
    serial = session.mark.serial if session.mark and key else ""
    if session.mark and session.mark.entered:
        serial, plan = f"@{session.mark.jail}", readable_entry(layout, uid, session.mark.jail)
    else:
        plan = readable_plan(layout, uid, serial)
    if plan is None:
        raise HostError(f"account {args.account}", "has no plan", hint="jailssh apply")
    if session.mark and plan.serial != session.mark.serial:
        context.tell("jailssh: exec: the session began with an earlier configuration; rights and limits are today's")
    start = process.start_time(session.first.pid)
    groups = joining.groups_of(session.first.pid) if start is not None else []
    if start is None or not live.is_still(session):
        raise HostError(f"session of {args.account}", "has ended")
    # A terminal of the host's stays outside; the jail's own needs one that can be relayed.
    terminal = all(map(os.isatty, (0, 1, 2))) and plan.first("pty") == ("yes",)
    term = os.environ.get("TERM", "") if terminal else ""
    known = {fields.USER: plan.name} | ({fields.KEY: key} if key else {})
    told = escape(" ".join(args.command), 1000)
    context.record([f"{plan.name}: exec in session {session.name or session.outer.pid}: {told}"], known)
    return joining.run(
        [
            f"{os.path.dirname(layout.login_program)}/jailssh-join", str(session.first.pid), str(start), str(uid),
            serial, term if _TERM.match(term) else "", *args.command,
        ],
        groups, terminal=terminal,
    )  # fmt: skip


def _session(context: Context, word: str) -> Running:
    """Return the session with this id, or the newest of the account."""
    sessions = live.take(context.layout).sessions
    uids = {each.outer.uid for each in sessions}
    names = live.names_of(uids)
    of_it = [each for each in sessions if names.get(each.outer.uid, str(each.outer.uid)) == word]
    found = of_it or [each for each in sessions if each.name == word]
    if not found:
        raise UsageError(f"{escape(word, 100)}", "has no session", hint="jailssh sessions")
    return max(found, key=lambda each: process.start_time(each.outer.pid) or 0)
