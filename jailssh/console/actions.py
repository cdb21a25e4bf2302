"""Verbs that have actions of their own, as ``jailssh image list``."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def add_actions(
    parser: argparse.ArgumentParser, fill: Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None]
) -> None:
    """Give the verb the actions that ``fill`` adds, and each of them the options that stand before every verb."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    fill(actions)
    # As with every verb, these may stand at the end too.
    for action in actions.choices.values():
        action.add_argument("--root", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
