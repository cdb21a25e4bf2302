"""``jailssh sessions``: who is logged in to a jail right now, from the kernel's own tables."""

from __future__ import annotations

import argparse
import time
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from jailssh.console import output
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, JailsshError, UsageError
from jailssh.sessions import live, outside, telling
from jailssh.users import pausing

EXAMPLES = ("jailssh sessions", "jailssh sessions alice --json", "jailssh sessions --watch")

_PAUSE = 2.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("user", nargs="*", metavar="USER", help="show only the sessions of these accounts")
    parser.add_argument("--watch", action="store_true", help="show them again every two seconds, until interrupted")


def run(args: argparse.Namespace, context: Context) -> int:
    """Show the sessions; 1 if a process of an account in a jail is in none."""
    context.need_real_root("sessions")
    if args.watch and context.json:
        raise UsageError("--watch", "cannot be combined with --json")
    if not args.watch:
        return _show(args, context)
    with suppress(KeyboardInterrupt):
        while not output.is_lost():
            print(telling.CLEAR, end="") if output.is_terminal() else None
            _show(args, context)
            time.sleep(_PAUSE)
    return EXIT_OK


def _show(args: argparse.Namespace, context: Context) -> int:
    picture = live.take(context.layout)
    sessions = live.told(picture, context.layout)
    connections = live.told_of_connections(picture)
    kept = live.told_of_kept(picture)
    strays, errors = outside.strays(picture, context.layout)
    if args.user:
        sessions = [each for each in sessions if each.user in args.user]
        connections = [each for each in connections if each.user in args.user]
        kept = [each for each in kept if each.user in args.user]
        strays = [each for each in strays if each.user in args.user]
    facts: dict[str, Any] = {
        "sessions": [telling.facts(each) for each in sessions],
        "connections": [telling.facts(each) for each in connections],
        "background": [asdict(each) for each in kept],
        "outside": [asdict(each) for each in strays],
    }
    pause = pausing.present(context.layout)
    facts["no_new_logins"] = asdict(pause) if pause else None
    colour = output.is_terminal() and not context.json
    context.facts(facts, telling.lines(sessions, connections, kept, strays, colour=colour))
    if pause and not context.json:
        context.say([f"in force: {pause.said}"])
    _tell(context, errors)
    return EXIT_FAILED if strays or errors else EXIT_OK


def _tell(context: Context, errors: list[JailsshError]) -> None:
    for line in (line for error in errors for line in error.lines()):
        context.tell(line)
