"""``jailssh move``: put accounts that are in a jail into another one."""

from __future__ import annotations

import argparse
import os
from functools import partial

from jailssh.cli.adduser import jail_names, whole_host
from jailssh.console import progress
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_OK, UsageError, raise_all
from jailssh.core.journal_fields import JAIL, USER
from jailssh.core.names import check_account_name
from jailssh.files import walked
from jailssh.jail.configuration import load_configuration
from jailssh.publish.publish import Publisher
from jailssh.setup import afterwards
from jailssh.users import many
from jailssh.users.adduser import AddUserOptions, users_file

EXAMPLES = ("jailssh move alice --jail shell", "jailssh move alice bob --jail sftp,scp")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="accounts that are in a jail by name")
    parser.add_argument(
        "--jail", required=True, metavar="JAIL[,JAIL…]", help="jails, profiles or plugins; several are combined"
    )
    parser.add_argument(
        "--force", action="store_true", help="allow system accounts and privileged groups (they may escape)"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Move all or none; sessions keep what they have."""
    context.need_real_root("move")
    jails = jail_names(args.jail)
    names = [check_account_name(name) for name in args.names]
    outside = [name for name in names if not os.path.lexists(users_file(context.layout, name))]
    why, hint = "no jail is assigned to this account directly", "jailssh adduser {} --jail " + args.jail
    raise_all([UsageError(f"account {name}", why, hint=hint.format(name)) for name in outside])
    configuration = load_configuration(context.layout)
    before = {name: user.jails for name in names if (user := configuration.user(name)) is not None}
    wishes = [AddUserOptions(name, jails, force=args.force) for name in names]
    layout, counting = context.layout, partial(whole_host, context.layout)
    with progress.bar("move") as show, walked.once(layout.etc, layout.state):
        done = many.add_many(layout, wishes, Publisher(layout), context.confirm, progress=show, counting=counting)
    for each in done:
        if each.outcome.changed:
            back = f"{each.name}: to go back: jailssh move {each.name} --jail {','.join(before[each.name])}"
            context.changed([*each.outcome.lines, back], {USER: each.name, JAIL: "+".join(jails)})
        else:
            context.say(each.outcome.lines)
    lines, errors = afterwards.settle(context.layout, names)
    context.say(lines)
    raise_all(errors)
    return EXIT_OK
