"""``jailssh config``: check the configuration, or show it with where each value comes from."""

from __future__ import annotations

import argparse

from jailssh.cli.context import Context
from jailssh.config.reader import Item, raise_all, show
from jailssh.core.errors import EXIT_OK, JailsshError, ManyErrors, UsageError
from jailssh.core.names import counted
from jailssh.image.findings import find, note_lines
from jailssh.image.jail import Configuration, load_configuration

EXAMPLES = ("jailssh config check", "jailssh config show", "jailssh config show sftp-only")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "action", choices=("check", "show"), help="check: report every error; show: values and where each comes from"
    )
    parser.add_argument("jail", nargs="?", metavar="JAIL[,JAIL…]", help="show this jail or plugin, not the main file")


def run(args: argparse.Namespace, context: Context) -> int:
    """Check or show."""
    if args.action == "check" and args.jail is not None:
        raise UsageError("config check", "takes no jail: everything is checked")
    configuration = load_configuration(context.layout)
    if args.action == "check":
        return _check(configuration, context)
    rows = show(_items(configuration, args.jail))
    width = max(len(_key(section, name)) for section, name, _, _ in rows)
    facts_shown = [
        {"section": section, "name": name, "value": value, "origin": origin} for section, name, value, origin in rows
    ]
    context.facts(
        facts_shown,
        [f"{_key(section, name):<{width}} = {value:<24}  # {origin}" for section, name, value, origin in rows],
    )
    return EXIT_OK


def _check(configuration: Configuration, context: Context) -> int:
    """Raise every error and everything that looks wrong on this host at once; notes are only told."""
    errors: list[JailsshError] = []
    try:
        configuration.validate()
    except ManyErrors as several:
        errors += several.errors
    except JailsshError as error:
        errors.append(error)
    found = find(configuration)
    for line in note_lines(found.notes):
        context.tell(line)
    raise_all([*errors, *found.wrong])
    facts = {"jails": sorted(configuration.documents), "accounts": configuration.user_names()}
    jails, accounts = (counted(len(facts[key]), key.removesuffix("s")) for key in ("jails", "accounts"))
    context.facts(facts, [f"no errors in {jails} and the files of {accounts}"])
    return EXIT_OK


def _items(configuration: Configuration, jail: str | None) -> tuple[Item, ...]:
    if jail is None:
        return configuration.main.items
    return configuration.definition(jail.replace("+", ",").split(",")).config.items


def _key(section: str, name: str) -> str:
    return f"[{section}] {name}" if section else name
