"""``jailssh session``: sessions on trees, which ``jailssh run --session`` begins."""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

from jailssh.console.actions import add_actions
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, HostError
from jailssh.core.names import escape
from jailssh.entering import kept, trees
from jailssh.entering.trees import Session

EXAMPLES = (
    "jailssh session list",
    "jailssh session recover build",
    "jailssh session end build",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_actions(parser, _add_actions)


def _add_actions(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    actions.add_parser("list", help="list the sessions")
    end = actions.add_parser("end", help="end all that runs in sessions, and remove what was written in them")
    end.add_argument("session", nargs="+", metavar="SESSION", help="name of a session")
    recover = actions.add_parser("recover", help="make sessions anew that a crash or a reboot has ended")
    recover.add_argument("session", nargs="*", metavar="SESSION", help="name of a session (default: all)")


def run(args: argparse.Namespace, context: Context) -> int:
    """Show, end or recover sessions; 1 if one of several could not be."""
    context.need_real_root("session")
    if args.action == "list":
        return _list(context)
    names = [kept.check_name(name) for name in args.session]
    if args.action == "end":
        return _each(context, names, _end)
    every = [each.name for each in trees.all_sessions(context.layout) if each.held is None]
    return _each(context, names or every, _recover)


def _each(context: Context, names: list[str], action: Any) -> int:
    done: list[dict[str, Any]] = []
    failed = False
    for name in dict.fromkeys(names):
        try:
            with kept.locked(context.layout):
                done.append(action(context, name))
        except HostError as error:
            failed = True
            for line in error.lines():
                context.tell(line)
    context.facts(done, [each["done"] for each in done])
    context.record([each["done"] for each in done], {}) if done else None
    return EXIT_FAILED if failed else EXIT_OK


def _end(context: Context, name: str) -> dict[str, Any]:
    ended = trees.end(context.layout, name)
    return {"name": name, "by_itself": ended, "done": f"session {name} ended"}


def _recover(context: Context, name: str) -> dict[str, Any]:
    held = trees.recover(context.layout, name)
    if note := trees.leave_login(held):
        context.tell(note)
    return {"name": name, "id": held.id, "pid": held.pid, "done": f"session {name} is there again"}


def _list(context: Context) -> int:
    found = trees.all_sessions(context.layout)
    counted = kept.processes()
    rows = [_facts(each, counted) for each in found]
    lines = [f"{'ID':>4}  {'NAME':<20}  {'STATE':<8}  {'PROCESSES':>9}  TREE"] if rows else []
    lines += [
        f"{row['id'] or '-':>4}  {row['name']:<20}  {row['state']:<8}  {row['processes']:>9}  {escape(row['tree'])}"
        for row in rows
    ]
    context.facts(rows, lines or ["no sessions"])
    return EXIT_OK


def _facts(session: Session, counted: Counter[str]) -> dict[str, Any]:
    held = session.held
    # Beside what holds it.
    running = max(0, kept.count_in(held, counted) - 1) if held else 0
    return {
        "name": session.name, "id": held.id if held else None,
        "state": "held" if held else "ended" if session.tree else "damaged",
        "pid": held.pid if held else None, "processes": running,
        "since": held.since if held else None, "tree": session.tree, "written": session.written,
    }  # fmt: skip
