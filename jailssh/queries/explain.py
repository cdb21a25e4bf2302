"""``jailssh explain``: ask the login program's own matcher about a command, or about a login that happened."""

from __future__ import annotations

import argparse
import shlex

from jailssh.console.context import Context
from jailssh.core.errors import EXIT_DENIED, EXIT_FAILED, EXIT_OK, HostError, JailsshError, UsageError
from jailssh.core.journal_fields import ENTERED, EVENT, KEY, PLAN, REASON, REASONS, RULE, SESSION, UID, Event
from jailssh.core.names import escape, is_number
from jailssh.diagnose.explain import Explanation, explain, what_happened
from jailssh.diagnose.reasons import WITHOUT_COMMAND
from jailssh.host import accounts, journal

EXAMPLES = (
    "jailssh explain alice -- 'scp -t upload'",
    "jailssh explain alice",
    "jailssh explain git --key bob -- \"git-upload-pack 'team/site'\"",
    "jailssh explain carol --enter web -- make test",
    "jailssh explain --from-journal 3f9a1c07",
)
TAKES_COMMAND = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("user", nargs="?", metavar="USER", help="account name")
    parser.add_argument("--key", metavar="NAME", help="named key of a shared account")
    parser.add_argument("--enter", metavar="JAIL", help="the jail that the account enters, and does not log in to")
    parser.add_argument(
        "--from-journal",
        metavar="ID",
        help="past login: session id, reference shown to the user, or journal cursor",
    )
    parser.usage = (
        "jailssh explain [--json] USER [--key NAME|--enter JAIL] [-- COMMAND]\n"
        "       jailssh explain [--json] --from-journal ID"
    )
    parser.description = (
        "Explain why a command, as the client sends it, is allowed or denied; without COMMAND, an interactive login.\n"
        "Exit status 0: allowed; 3: denied; 1: the login was refused; 4: the matcher is missing."
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Explain one command or one login."""
    if (args.user is None) == (args.from_journal is None):
        raise UsageError("explain", "requires either USER or --from-journal", hint="jailssh explain --help")
    if args.from_journal is not None and (args.command, args.key) != (None, None):
        raise UsageError("explain", "--from-journal cannot be combined with --key or COMMAND: the record contains both")
    if args.enter is not None and (args.key is not None or args.from_journal is not None):
        raise UsageError("--enter", "cannot be combined with --key or --from-journal")
    context.need_root("explain")
    if args.from_journal is not None:
        return _from_journal(args.from_journal, context)
    # As ssh(1) does: the words are joined with single spaces into the one string that the server gets.
    command = " ".join(args.command) if args.command else None
    if args.command and args.enter is not None:
        command = shlex.join(args.command)  # as jailssh enter does
    found = explain(context.layout, accounts.get(args.user), command, args.key, args.enter)
    context.facts(found.facts, found.lines)
    return EXIT_OK if found.allowed else EXIT_DENIED


def _from_journal(which: str, context: Context) -> int:
    records = journal.find_login(which, root=context.layout.root)
    record = journal.decisive(records)
    uid = int(record.get(UID)) if is_number(record.get(UID)) else -1
    entry = accounts.find_uid(uid)
    event, reason = record.get(EVENT), record.get(REASON)
    # What ends a session stands in the record of its end.
    end = next((one for one in records if one.get(EVENT) == Event.SESSION_END and one.get(REASON)), None)
    ended = end.get(REASON) if end is not None else ""
    happened = what_happened(context.layout, entry, end or record, ended or reason) if entry else []
    facts = {
        "event": event, "time": record.time, "session": record.get(SESSION), "uid": uid, "cursor": record.cursor,
        "user": entry.name if entry else None, "key": record.get(KEY) or None, "command": record.command(),
        "reason": reason or None, "rule": record.get(RULE) or None, "ended": ended or None,
        "message": record.get("MESSAGE"), "plan": record.get(PLAN) or None,
    }  # fmt: skip
    told = event != Event.REFUSED and reason not in WITHOUT_COMMAND
    now, why = _now(context, entry, record) if told and entry else (None, "")
    lines = [*_record_lines(record, entry, uid), *([f"{end.when}: {_said(end)}"] if end else []), *happened]
    lines += _now_lines(record, now, why, known=bool(happened))
    context.facts(
        {"record": facts, "happened": happened, "now": now.facts if now else None, "note": why or None}, lines
    )
    if now is None:
        return EXIT_DENIED if event == Event.DENIED else EXIT_FAILED
    return EXIT_OK if now.allowed else EXIT_DENIED


def _record_lines(record: journal.JournalRecord, entry: accounts.AccountEntry | None, uid: int) -> list[str]:
    who = entry.name if entry else f"uid {uid} (account no longer exists)"
    by = f", key {escape(record.get(KEY), 200)}" if record.get(KEY) else ""
    command = record.command()
    untold = record.get(EVENT) == Event.REFUSED or record.get(REASON) in WITHOUT_COMMAND
    asked = escape(command, 400) if command is not None else "not recorded" if untold else "an interactive login"
    message = record.get("MESSAGE")
    head = f"{record.when}, session {record.get(SESSION)} of {who}{by}: {_said(record)}"
    return [head, f"requested: {asked}", *([escape(message)] if message else [])]


def _said(record: journal.JournalRecord) -> str:
    event, reason = record.get(EVENT), record.get(REASON)
    said = "began" if event == Event.SESSION_START else "ended" if event == Event.SESSION_END else escape(event, 80)
    return said + (f" ({reason}: {REASONS[reason]})" if reason in REASONS else "")


def _now(
    context: Context, entry: accounts.AccountEntry, record: journal.JournalRecord
) -> tuple[Explanation | None, str]:
    """Return what the account's plan says today about the same command, or why that cannot be said."""
    if record.cut_short:
        return None, "the record contains only the beginning of the command, so it cannot be checked again"
    try:
        key, enter = record.get(KEY) or None, record.get(ENTERED) or None
        return explain(context.layout, entry, record.command(), key, enter), ""
    except HostError:
        raise
    except JailsshError as error:
        return None, str(error)


def _now_lines(record: journal.JournalRecord, now: Explanation | None, why: str, *, known: bool) -> list[str]:
    """``known``: the reason has been explained already."""
    if now is None:
        return [why] if why else []
    changed = record.get(PLAN) not in ("", now.facts["plan"])
    head = "the plan has changed since; result now:" if changed else "result with the account's plan:"
    lines = [head, *(f"  {line}" for line in now.lines)]
    if now.allowed and not changed and record.get(EVENT) == Event.DENIED and not known:
        lines.append("the denial depends on the login itself: symbolic links in the jail, or the requested terminal")
    return lines
