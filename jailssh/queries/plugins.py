"""``jailssh plugins``: the plugins that may be used, and those that cannot and why."""

from __future__ import annotations

import argparse

from jailssh.console.context import Context
from jailssh.core.errors import EXIT_OK
from jailssh.jail.configuration import load_configuration

EXAMPLES = ("jailssh plugins", "jailssh plugins --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: none of its own."""


def run(_args: argparse.Namespace, context: Context) -> int:
    """List the plugins."""
    configuration = load_configuration(context.layout)
    registry = configuration.registry
    absent = "named in third_party_plugins, but not installed"
    rows = [
        *((name, registry.origins[name], True, plugin.summary) for name, plugin in sorted(registry.plugins.items())),
        *((name, broken.distribution, False, broken.reason) for name, broken in sorted(registry.broken.items())),
        *((name, "", False, absent) for name in configuration.missing_plugins()),
    ]
    facts = [dict(zip(("name", "from", "usable", "summary"), row, strict=True)) for row in rows]
    lines = [
        f"{fact['name']:<12} {fact['summary']}"
        if fact["usable"]
        else f"{fact['name']:<12} NOT USABLE: {fact['summary']}"
        for fact in facts
    ]
    context.facts(facts, lines or ["no plugins"])
    return EXIT_OK
