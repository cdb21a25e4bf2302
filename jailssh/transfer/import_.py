"""``jailssh import``: make this host what an archive says, of ``jailssh export`` on this host or on another."""

from __future__ import annotations

import argparse

from jailssh.carrying import archive
from jailssh.carrying.bring import How, bring, judge
from jailssh.carrying.collect import without_doors
from jailssh.carrying.compare import Comparison
from jailssh.console.context import ASSUME_YES, Context
from jailssh.console.inputs import read_named
from jailssh.core.errors import EXIT_OK, raise_all
from jailssh.core.names import escape, pluralize
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.publish.publish import Publisher
from jailssh.setup import afterwards, setup
from jailssh.setup.home_keys import DROP, LEAVE_OUT
from jailssh.users import adduser

EXAMPLES = (
    "jailssh import /root/jails.txt",
    "jailssh import --apply /root/jails.txt",
    "jailssh import --apply --replace --yes -",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("file", metavar="FILE", help="an archive; - is standard input")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--plan", action="store_true", help="show what would change, and change nothing (the default)")
    what.add_argument("--apply", action="store_true", help="make all of it, or nothing")
    differing = parser.add_mutually_exclusive_group()
    differing.add_argument("--replace", action="store_true", help="write files that are here and differ")
    differing.add_argument("--keep", action="store_true", help="leave files that are here and differ as they are")
    parser.add_argument("--on-demand", action="store_true", help="build images and plans at the first logins")
    parser.add_argument("--force", action="store_true", help="allow system accounts and privileged groups")
    parser.add_argument("--now", action="store_true", help="allow logged-in accounts; what runs stays unconfined")
    parser.add_argument(
        "--disable", action="store_true", help="set aside cron and at jobs, lingering, .forward and similar files"
    )
    parser.add_argument(
        "--key-commands",
        choices=(DROP, LEAVE_OUT),
        default="",
        help="keys in homes here that are limited to a command: drop the limit (the key can use the whole jail), or "
        "leave the key out",
    )
    parser.add_argument("--yes", action="store_true", help=f"when asked to go ahead, {ASSUME_YES}")


def run(args: argparse.Namespace, context: Context) -> int:
    """Show or make the changes."""
    context.need_real_root("import")
    source = "standard input" if args.file == "-" else escape(args.file)
    data = read_named(args.file, source, archive.MAX_ARCHIVE, "an archive")
    carried = without_doors(archive.read(data, source))
    how = How(
        replace=args.replace,
        keep=args.keep,
        on_demand=args.on_demand,
        force=args.force,
        now=args.now,
        disable=args.disable,
        commands=args.key_commands,
    )
    if not args.apply:
        adduser.require_setup(context.layout, Publisher(context.layout).groups)
        with fs.lock(context.layout.lock):
            found = judge(context.layout, carried, how)
        context.facts(found.facts(), [*found.lines(), _summary(found, "to make")])
        raise_all(found.errors)
        return EXIT_OK

    def confirm(found: Comparison) -> bool:
        if not context.yes:
            for line in found.lines():
                context.tell(line)
        return context.confirm(f"Make {pluralize(found.changes, 'change')} on this host?")

    found, lines = bring(context.layout, carried, how, lambda: Publisher(context.layout), confirm)
    done = [f"+ group {name}" for name in sorted(found.groups)]
    done += [f"+ account {each.name}" for each in found.created]
    done += [f"+ into a jail: {each.name}" for each in found.joining]
    done += [f"+ password of {each.name}" for each in found.passwords]
    done += [f"+ {context.layout.etc}/{path}" for path in sorted(found.files)]
    if done:
        context.record(done, {})
    after, errors = afterwards.settle(context.layout, carried.accounts) if done else ([], [])
    notes = [f"note: {line}" for line in (*found.notes, *_to_do(context.layout, found))]
    context.facts(found.facts(), [*lines, *done, *after, *notes, _summary(found, "made")])
    raise_all(errors)
    return EXIT_OK


def _summary(found: Comparison, verb: str) -> str:
    if found.errors:
        return f"{pluralize(len(found.errors), 'reason')} against the import, nothing changed"
    return f"{pluralize(found.changes, 'change')} {verb}" if found.changes else "nothing to change"


def _to_do(layout: Layout, found: Comparison) -> list[str]:
    """Return what the administrator does afterwards, since it is about others than the archive's accounts."""
    if not found.files:
        return []
    lines = ["for accounts that were in jails before: jailssh apply"]
    if rest := setup.pending(layout, Publisher(layout).groups):
        lines.insert(0, f"{setup.explained(rest)}: jailssh setup")
    return lines
