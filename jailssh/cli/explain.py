"""``jailssh explain``: ask the login program's own matcher about a command, or about a login that happened."""

from __future__ import annotations

import argparse

from jailssh.cli.context import Context
from jailssh.core.errors import EXIT_DENIED, EXIT_FAILED, EXIT_OK, JailsshError, UsageError
from jailssh.core.journal_fields import EVENT, KEY, PLAN, REASON, REASONS, RULE, SESSION, UID
from jailssh.core.names import escape
from jailssh.host import accounts, journal
from jailssh.image.explain import Explanation, explain

EXAMPLES = (
    "jailssh explain alice -- 'scp -t upload'",
    "jailssh explain alice",
    "jailssh explain git --key bob -- \"git-upload-pack 'team/site'\"",
    "jailssh explain --from-journal 3f9a1c07",
)
TAKES_COMMAND = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("user", nargs="?", metavar="USER", help="the account")
    parser.add_argument("--key", metavar="NAME", help="in a shared account: the named key whose login it is")
    parser.add_argument(
        "--from-journal",
        metavar="ID",
        help="a login that happened: session id, the reference a user was told, or cursor",
    )
    parser.usage = (
        "jailssh explain [--json] USER [--key NAME] [-- COMMAND]\n       jailssh explain [--json] --from-journal ID"
    )
    parser.description = (
        "say why a command, as the client would send it, is allowed or denied; none is an interactive login.\n"
        "The exit code is 0 for allowed, 3 for denied, 1 for a login that was refused, 4 without the matcher."
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Explain one command or one login."""
    if (args.user is None) == (args.from_journal is None):
        raise UsageError("explain", "takes an account or --from-journal", hint="jailssh explain --help")
    if args.from_journal is not None and (args.command, args.key) != (None, None):
        raise UsageError("explain", "--from-journal has the command and the key in the record")
    context.need_root("explain")
    if args.from_journal is not None:
        return _from_journal(args.from_journal, context)
    # As ssh(1) does: the words are joined with single spaces into the one string that the server gets.
    command = " ".join(args.command) if args.command else None
    found = explain(context.layout, accounts.get(args.user), command, args.key)
    context.facts(found.facts, found.lines)
    return EXIT_OK if found.allowed else EXIT_DENIED


def _from_journal(which: str, context: Context) -> int:
    record = journal.decisive(journal.find_login(which, root=context.layout.root))
    uid = int(record.get(UID)) if record.get(UID).isdecimal() else -1
    entry = accounts.find_uid(uid)
    who = entry.name if entry else f"uid {uid}, no account any more"
    command = record.command()
    asked = "an interactive login" if command is None else escape(command, 400)
    event, reason = record.get(EVENT), record.get(REASON)
    sentence = f" ({reason}: {REASONS[reason]})" if reason in REASONS else ""
    by = f", key {escape(record.get(KEY), 200)}" if record.get(KEY) else ""
    said = "began" if event.startswith("session-") else event
    lines = [f"{record.when}, session {record.get(SESSION)} of {who}{by}: {said}{sentence}", f"asked for: {asked}"]
    lines += [escape(record.get("MESSAGE"))] if record.get("MESSAGE") else []
    facts = {
        "event": event, "time": record.time, "session": record.get(SESSION), "uid": uid, "cursor": record.cursor,
        "user": entry.name if entry else None, "key": record.get(KEY) or None, "command": command,
        "reason": reason or None, "rule": record.get(RULE) or None,
        "message": record.get("MESSAGE"), "plan": record.get(PLAN) or None,
    }  # fmt: skip
    now, why = (None, "") if event == "refused" or entry is None else _now(context, entry, record)
    lines += _now_lines(record, now, why)
    context.facts({"record": facts, "now": now.facts if now else None, "note": why or None}, lines)
    if now is None:
        return EXIT_DENIED if event == "denied" else EXIT_FAILED
    return EXIT_OK if now.allowed else EXIT_DENIED


def _now(context: Context, entry: accounts.Entry, record: journal.Record) -> tuple[Explanation | None, str]:
    """Return what the account's plan says today about the same command, or why that cannot be said."""
    if record.cut_short:
        return None, "the record holds only the beginning of the command, so it cannot be judged again"
    try:
        return explain(context.layout, entry, record.command(), record.get(KEY) or None), ""
    except JailsshError as error:
        if error.exit_code != EXIT_FAILED:
            raise
        return None, str(error)


def _now_lines(record: journal.Record, now: Explanation | None, why: str) -> list[str]:
    if now is None:
        return [why] if why else []
    changed = record.get(PLAN) not in ("", now.facts["plan"])
    head = "the plan has changed since; now:" if changed else "by the account's plan:"
    lines = [head, *(f"  {line}" for line in now.lines)]
    if now.allowed and not changed and record.get(EVENT) == "denied":
        lines.append(
            "what was denied shows only in a login itself: links in the jail, or the terminal that was asked for"
        )
    return lines
