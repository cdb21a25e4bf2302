"""What ``jailssh apply`` does first with a bundle: take in this host's part of a description of many hosts."""

from __future__ import annotations

import argparse

from jailssh.carrying.bring import How
from jailssh.carrying.compare import Comparison
from jailssh.config.files import read_main
from jailssh.console.context import Context
from jailssh.console.inputs import read_named
from jailssh.core.errors import UsageError, raise_all
from jailssh.core.names import escape, pluralize
from jailssh.fleet import fetch, receive
from jailssh.fleet.bundle import MAX_BUNDLE
from jailssh.host import install
from jailssh.publish.publish import Publisher


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments that are about bundles."""
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--from", dest="source", default="", metavar="BUNDLE", help="first take in a signed bundle; - is standard input"
    )
    source.add_argument("--pull", action="store_true", help="the same, with what bundle_command writes")
    parser.add_argument("--replace", action="store_true", help="with a bundle: write files that differ here, too")
    parser.add_argument("--older", action="store_true", help="with a bundle: take one that is older than the last one")
    parser.add_argument(
        "--on-demand", action="store_true", help="with a bundle: build images and plans of new accounts at first logins"
    )


def check_arguments(args: argparse.Namespace) -> bool:
    """True if there is a bundle to take in; raises for options that need one."""
    if args.source or args.pull:
        if args.gone:
            raise UsageError("--gone", "cannot be combined with a bundle")
        return True
    for name, given in (("--replace", args.replace), ("--older", args.older), ("--on-demand", args.on_demand)):
        if given:
            raise UsageError(name, "requires a bundle: --from BUNDLE or --pull")
    return False


def take_in(args: argparse.Namespace, context: Context) -> dict[str, object]:
    """Make this host what its part of the bundle says, or with ``--plan`` show that; return facts about it."""
    context.need_real_root("apply")
    layout = context.layout
    if args.pull:
        source = fetch.SETTING
        data = fetch.fetch(read_main(install.read_optional(layout.config_file) or b"", layout.config_file))
    else:
        source = "standard input" if args.source == "-" else escape(args.source)
        data = read_named(args.source, source, MAX_BUNDLE, "a bundle")
    act = not args.dry_run
    how = How(replace=args.replace, on_demand=args.on_demand)
    taken = receive.take(layout, data, source, lambda: Publisher(layout), act=act, how=how, older=args.older)
    found = taken.found
    if act and found.changes:
        context.record([f"bundle {taken.serial} of {taken.signer}", *_changed(found)], {})
    if not context.json:
        context.say([*taken.lines, *found.lines(), _summary(taken, act=act)])
    facts = {"serial": taken.serial, "signer": taken.signer, "made": act, **found.facts()}
    if not act:
        context.facts({"bundle": facts}, [])
        raise_all(found.errors)
    return facts


def _changed(found: Comparison) -> list[str]:
    return [
        *(f"- {path}" for path in sorted(found.removed)),
        *(f"+ {path}" for path in sorted(found.files)),
        *(f"+ account {each.name}" for each in found.created),
        *(f"+ into a jail: {each.name}" for each in found.joining),
    ]


def _summary(taken: receive.Taken, *, act: bool) -> str:
    found, what = taken.found, f"bundle {taken.serial} of {taken.signer}"
    if found.errors:
        return f"{what}: {pluralize(len(found.errors), 'reason')} against it, nothing changed"
    if not found.changes:
        return f"{what}: nothing to change"
    return f"{what}: {pluralize(found.changes, 'change')} {'made' if act else 'would be made'}"
