"""``jailssh learn``: collect what an account is denied for a time, and suggest what would have allowed it."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from jailssh.console.context import Context
from jailssh.core.errors import EXIT_OK, JailsshError, UsageError
from jailssh.core.journal_fields import EVENT, KEY, UID, USER, Event
from jailssh.diagnose.suggest import Asked, Suggestion, fragment, group, shown, suggest
from jailssh.diagnose.trials import Trials
from jailssh.host import accounts, journal
from jailssh.jail.configuration import load_configuration
from jailssh.jail.this_host import to_account
from jailssh.users import learning
from jailssh.users.learning import Learning

EXAMPLES = (
    "jailssh learn alice --for 2h",
    "jailssh learn alice --suggest",
    "jailssh learn git --suggest --key bob",
    "jailssh learn alice --stop",
    "jailssh learn --list",
)
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST = 31 * 86400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("user", nargs="?", metavar="USER", help="account name")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--for",
        dest="duration",
        metavar="TIME",
        help="duration of learning: 90s, 30m, 1h, 7d; at most 31d (default 1h)",
    )
    what.add_argument("--suggest", action="store_true", help="print settings that allow what was denied")
    what.add_argument("--stop", action="store_true", help="end the learning period now; delete one that is over")
    what.add_argument("--list", action="store_true", help="list the accounts with a learning period")
    parser.add_argument(
        "--key", metavar="NAME", help="with --suggest: only denials of this named key of a shared account"
    )
    parser.description = (
        "Collect what an account is denied for a limited time, and suggest the smallest settings that allow it.\n"
        "Learning allows nothing: denied commands stay denied, and a suggestion is text to review and to put into\n"
        "a jail file by hand."
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Begin, suggest, stop or list."""
    if args.list == (args.user is not None):
        raise UsageError("learn", "requires either USER or --list", hint="jailssh learn --help")
    if args.key is not None and not args.suggest:
        raise UsageError("learn", "--key requires --suggest", hint="learning covers all keys of an account")
    context.need_root("learn")
    if args.list:
        return _list(context)
    entry = accounts.get(args.user)
    if args.suggest:
        return _suggest(context, entry, args.key)
    return _stop(context, entry) if args.stop else _begin(context, entry, seconds(args.duration or "1h"))


def seconds(text: str) -> int:
    """Return the seconds in ``90s``, ``30m``, ``2h``, ``7d``, at most 31 days; :class:`UsageError` for others."""
    match = _DURATION.match(text)
    found = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < found <= _LONGEST:
        raise UsageError(f"--for {text}", "is not a duration such as 90s, 30m, 1h or 7d (at most 31d)")
    return found


def _begin(context: Context, entry: accounts.AccountEntry, duration: int) -> int:
    # An account that is in no jail is denied nothing.
    load_configuration(context.layout).jails_for(to_account(entry))
    now = time.time()
    present = learning.read(context.layout, entry.uid, entry.name)
    since = present.since if present is not None and present.running(now) else now
    learning.write(context.layout, Learning(entry.uid, entry.name, since, now + duration))
    line = f"learning denials of {entry.name} until {_when(now + duration)}; nothing more is allowed meanwhile"
    context.changed([line], {USER: entry.name})
    return EXIT_OK


def _stop(context: Context, entry: accounts.AccountEntry) -> int:
    present, now = _present(context, entry), time.time()
    if present.running(now):
        learning.write(context.layout, replace(present, until=now))
        context.changed([f"ended the learning period of {entry.name}"], {USER: entry.name})
    else:
        learning.forget(context.layout, entry.uid)
        context.changed([f"deleted the learning period of {entry.name}"], {USER: entry.name})
    return EXIT_OK


def _present(context: Context, entry: accounts.AccountEntry) -> Learning:
    present = learning.read(context.layout, entry.uid, entry.name)
    if present is None:
        raise JailsshError(
            f"account {entry.name}", "has no learning period", hint=f"jailssh learn {entry.name} --for 1h"
        )
    return present


def _list(context: Context) -> int:
    now = time.time()
    found = learning.every(context.layout)
    facts = [{**asdict(one), "running": one.running(now)} for one in found]
    lines = [
        f"{one.name}: {'until' if one.running(now) else 'over,'} {_when(one.until)}, since {_when(one.since)}"
        for one in found
    ]
    context.facts(facts, lines or ["no account has a learning period"])
    return EXIT_OK


def _suggest(context: Context, entry: accounts.AccountEntry, key: str | None) -> int:
    present = _present(context, entry)
    configuration = load_configuration(context.layout)
    matches = {EVENT: Event.DENIED, UID: str(entry.uid)}
    if key is not None:
        configuration.known_holder(to_account(entry), key)
        matches[KEY] = key
    records = journal.read(matches, since=present.since, until=present.until, root=context.layout.root)
    trials = Trials(configuration, to_account(entry))
    found = suggest(trials, group(records))
    text = fragment(trials, found) if found.needed else []
    who = entry.name if key is None else f"{entry.name}, key {key},"
    head = f"# denied to {who} from {_when(present.since)} to {_when(min(present.until, time.time()))}"
    facts = {
        "user": entry.name,
        "key": key,
        "since": present.since,
        "until": present.until,
        "fragment": "".join(f"{line}\n" for line in text),
        "settings": [_setting(found, plugin, option) for plugin, option in found.needed],
        "for_groups": [asdict(each) for each in found.for_groups],
        "allowed_now": [asdict(each) for each in found.allowed],
        "impossible": [{**asdict(each), "why": why} for each, why in found.impossible],
    }
    context.facts(facts, [head, *(text or ["# nothing to suggest"]), *_rest(found)])
    return EXIT_OK


def _setting(found: Suggestion, plugin: str, option: str) -> dict[str, Any]:
    raw = next((c.raw for c in found.remedy.changes if (c.plugin, c.option) == (plugin, option)), "")
    asked: Sequence[Asked] = found.needed[plugin, option]
    return {"plugin": plugin, "option": option, "value": raw, "asked": [asdict(each) for each in asked]}


def _rest(found: Suggestion) -> list[str]:
    """Return comments about what needs no change by now, and what no change allows."""
    lines = []
    if found.allowed:
        lines += ["", "# allowed by the present configuration (to publish it: jailssh apply):"]
        lines += [f"#   {each}" for each in found.allowed]
    if found.impossible:
        lines.append("")
        lines += [f"# cannot be allowed: {shown(each.command)}: {why} ({each.times})" for each, why in found.impossible]
    return lines


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment).astimezone().isoformat(" ", "seconds")
