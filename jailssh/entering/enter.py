"""``jailssh enter``: use a jail on this host, as an account that its file lists."""

from __future__ import annotations

import argparse
import os
import shlex

from jailssh.console.context import Context
from jailssh.core.errors import LOGIN_REFUSED, HostError, UsageError
from jailssh.core.names import check_jail_name
from jailssh.host import process

EXAMPLES = ("jailssh enter web", "jailssh enter web -- make test")
TAKES_COMMAND = True
NAME = "jailssh-enter"
"""By this name the login program lets accounts enter jails: ``login/env.c``."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("jail", metavar="JAIL", help="jail whose file lists the account, or a group of it, in 'enter'")


def run(args: argparse.Namespace, context: Context) -> int:
    """Become the program that enters; its exit status is the command's, 125 to 127 where nothing ran; 2: wrong words.

    Who may is decided there, by what root has published for the account: nothing that is said here counts for it.
    """
    if context.layout.root or context.json:
        raise UsageError("enter", "cannot be combined with --root or --json")
    if args.command == []:
        raise UsageError("enter", "needs a command behind --, or no --", hint="jailssh enter --help")
    jail = check_jail_name(args.jail)
    if os.getuid() == 0:
        why = "is for accounts, and root is never jailed"
        raise UsageError("enter", why, hint=f"runuser -u NAME -- jailssh enter {jail}; in a session: jailssh exec NAME")
    # One string, as sshd hands it over, whose words are what was given.
    command = ["-c", shlex.join(args.command)] if args.command else []
    program = context.layout.login_program
    try:
        process.become(program, [NAME, jail, *command])
    except PermissionError as error:
        hint = "the administrator runs: jailssh apply && jailssh setup"
        refused = HostError("enter", "is not open to accounts on this host", hint=hint)
        refused.exit_code = LOGIN_REFUSED  # 1 to 4 are the command's own
        raise refused from error
