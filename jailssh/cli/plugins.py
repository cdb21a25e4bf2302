"""``jailssh plugins``: the plugins that may be used, and those that cannot and why."""

from __future__ import annotations

import argparse

from jailssh.cli.context import Context
from jailssh.core.errors import EXIT_OK
from jailssh.image.jail import load_configuration

EXAMPLES = ("jailssh plugins", "jailssh plugins --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: none of its own."""


def run(_args: argparse.Namespace, context: Context) -> int:
    """List the plugins."""
    registry = load_configuration(context.layout).registry
    facts = [
        {"name": name, "from": registry.origins[name], "usable": True, "summary": plugin.summary}
        for name, plugin in sorted(registry.plugins.items())
    ] + [
        {"name": name, "from": broken.distribution, "usable": False, "summary": broken.reason}
        for name, broken in sorted(registry.broken.items())
    ]
    lines = [
        f"{fact['name']:<12} {fact['summary']}"
        if fact["usable"]
        else f"{fact['name']:<12} NOT USABLE: {fact['summary']}"
        for fact in facts
    ]
    context.facts(facts, lines or ["there are no plugins"])
    return EXIT_OK
