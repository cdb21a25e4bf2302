"""``jailssh doctor``: what is wrong with this host, or why an account cannot log in; nothing is changed."""

from __future__ import annotations

import argparse

from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK

EXAMPLES = ("jailssh doctor", "jailssh doctor alice", "jailssh doctor alice --all", "jailssh doctor alice --json")
COULD_NOT_LOOK = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.description = (
        "Without USER check the host: is it set up, do sshd and systemd use the files on disk, is a change\n"
        "unfinished, does jailsshd answer and with which configuration.  With USER follow a login of that account,\n"
        "from the name service to its last command, and print the first thing that is wrong and its cure.\n"
        "Change nothing.  To check all accounts: jailssh config check\n"
        "Exit status 0: no problems found; 1: problems found; 2: none found, but not everything could be looked at."
    )
    parser.add_argument("user", nargs="?", metavar="USER", help="account that cannot log in")
    parser.add_argument("--all", action="store_true", help="with USER: print everything that is wrong, and notes")


def run(args: argparse.Namespace, context: Context) -> int:
    """Look; print what is wrong."""
    context.need_real_root("doctor")
    # Each imports what it needs, which is much.
    if args.user is None:
        from jailssh.doctor import host

        report = host.look(context.layout)
        context.facts(report.facts(), report.lines())
        return EXIT_FAILED if report.wrong else EXIT_OK
    from jailssh.doctor.case import Case
    from jailssh.doctor.walk import walk

    found = walk(Case(context.layout, args.user), everything=args.all)
    context.facts(found.facts(), found.lines(everything=args.all))
    return EXIT_FAILED if found.wrong else COULD_NOT_LOOK if found.unknown else EXIT_OK
