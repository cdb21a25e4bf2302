"""``jailssh update``: images follow the host's packages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from jailssh.config.jails import combined_name
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, UsageError
from jailssh.core.names import pluralize
from jailssh.host import packages
from jailssh.jail.configuration import load_configuration
from jailssh.upkeep.update import State, Updated, update

EXAMPLES = ("jailssh update --all", "jailssh update sftp-only", "jailssh update --all --settle 600")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("jail", nargs="*", metavar="JAIL", help="jails to update; releases a hold")
    parser.add_argument("--all", action="store_true", help="update all jails that have an image")
    parser.add_argument(
        "--settle",
        type=int,
        default=0,
        metavar="SECONDS",
        help="seconds to wait for a running package installation (default 0)",
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Update; running sessions keep what they have."""
    context.need_root("update")
    if bool(args.jail) == args.all:
        raise UsageError("update", "requires either JAIL or --all")
    if args.settle and not packages.settle(args.settle):
        context.tell("note: packages are still being installed; using the files as they are now")
    names = None if args.all else [combined_name(jail.split("+")) for jail in args.jail]
    results = update(load_configuration(context.layout), names)
    context.facts([_fact(result) for result in results], [line for each in results for line in _lines(each)])
    failed = [result for result in results if result.state == State.FAILED]
    if not context.json:
        _tell_failed(failed, context.tell)
    return EXIT_FAILED if failed else EXIT_OK


def _lines(result: Updated) -> list[str]:
    said = {
        State.CURRENT: f"image {result.generation} is up to date",
        State.UPDATED: f"updated to image {result.generation}",
        State.HELD: f"held at image {result.generation}; to release: jailssh update {result.jail}",
        State.GONE: result.lines[0] if result.lines else "",
        State.FAILED: f"keeps image {result.generation or 'none'}",
    }[result.state]
    plans = f", {pluralize(result.plans, 'plan')} published" if result.plans else ""
    return [f"{result.jail}: {said}{plans}"]


def _tell_failed(failed: list[Updated], tell: Callable[[str], None]) -> None:
    sys.stdout.flush()
    for result in failed:
        for line in result.lines:
            tell(f"{result.jail}: {line}")


def _fact(result: Updated) -> dict[str, object]:
    return {
        "jail": result.jail,
        "state": result.state,
        "image": result.generation,
        "plans": result.plans,
        "lines": list(result.lines),
    }
