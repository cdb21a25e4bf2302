"""``jailssh keys``: the named keys of an account that several people share."""

from __future__ import annotations

import argparse
import importlib

from jailssh.console.actions import add_actions
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK
from jailssh.core.journal_fields import KEY, USER
from jailssh.users import key_removal

EXAMPLES = (
    "jailssh keys add git alice alice.pub --group devs",
    "jailssh keys add git carol users-ca.pub --principal carol@example.org",
    "jailssh keys list git",
    "jailssh keys remove git alice --now",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_actions(parser, _add_actions)


def _add_actions(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    add = actions.add_parser("add", help="give the keys in a file a name; they can log in from then on")
    _user(add)
    add.add_argument("name", metavar="NAME", help="the name, in the journal and for rights")
    add.add_argument(
        "file", metavar="FILE",
        help="a file of public keys; a further key of a name that is there is a line more in "
        "/etc/jailssh/keys.d/USER/NAME.pub, then jailssh apply",
    )  # fmt: skip
    add.add_argument("--group", action="append", default=[], metavar="GROUP", help="a group of keys; may be repeated")
    add.add_argument(
        "--principal", action="append", default=[], metavar="NAME",
        help="the file is an authority's; its certificates for this principal are taken; may be repeated",
    )  # fmt: skip
    remove = actions.add_parser("remove", help="take a name away with its keys; they cannot log in any more")
    _user(remove)
    remove.add_argument("name", metavar="NAME", help="the name, or SHA256:… of one key; without names the comment")
    remove.add_argument("--now", action="store_true", help="end sessions whose keys do not let in (any more), too")
    _user(actions.add_parser("list", help="list the names, with types, fingerprints, groups, principals and comments"))
    show = actions.add_parser("print", help="print authorized_keys lines, as sshd's AuthorizedKeysCommand does")
    _user(show)
    show.add_argument("type", nargs="?", metavar="TYPE", help="%%t: only what lets this key or certificate in")
    show.add_argument("blob", nargs="?", metavar="BLOB", help="%%k: the key or certificate itself")
    show.add_argument(
        "--principals", action="store_true",
        help="print principals instead, as AuthorizedPrincipalsCommand does; TYPE BLOB is the authority (%%T %%K)",
    )  # fmt: skip


def _user(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="the shared account")


def run(args: argparse.Namespace, context: Context) -> int:
    """Add, remove, list or print."""
    if args.action == "remove":
        return _remove(args, context)
    # What taking away does not need is not loaded for it: it must be quick.
    code: int = importlib.import_module("jailssh.cli.named_keys").run(args, context)
    return code


def _remove(args: argparse.Namespace, context: Context) -> int:
    context.need_real_root("keys remove")
    done = key_removal.remove(context.layout, args.user, args.name, now=args.now)
    context.changed(done.lines, {USER: args.user, KEY: args.name})
    for line in (line for error in done.errors for line in error.lines()):
        context.tell(line)
    return EXIT_FAILED if done.errors else EXIT_OK
