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
    "jailssh keys fetch git @devs",
    "jailssh keys remove git alice --now",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    add_actions(parser, _add_actions)


def _add_actions(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    add = actions.add_parser("add", help="add the keys in a file under a name; they authorize logins")
    _user(add)
    add.add_argument("name", metavar="NAME", help="name of the keys, used in the journal and for rights")
    add.add_argument(
        "file", metavar="FILE",
        help="public keys: a file, - for standard input, or a key itself; to add a key to an existing name, "
        "append it to /etc/jailssh/keys.d/USER/NAME.pub, then run: jailssh apply",
    )  # fmt: skip
    add.add_argument("--group", action="append", default=[], metavar="GROUP", help="group of the keys; repeatable")
    add.add_argument(
        "--principal", action="append", default=[], metavar="NAME",
        help="treat FILE as a CA key; accept its certificates for principal NAME; repeatable",
    )  # fmt: skip
    remove = actions.add_parser("remove", help="remove a name and its keys; they no longer authorize logins")
    _user(remove)
    remove.add_argument(
        "name", metavar="NAME", help="name, or fingerprint (SHA256:…) of one key; the comment of a key without a name"
    )
    remove.add_argument("--now", action="store_true", help="also end sessions of keys that do not authorize logins")
    fetch = actions.add_parser("fetch", help="make named keys those that a directory has of people, as SSSD tells")
    _user(fetch)
    fetch.add_argument(
        "who", nargs="+", metavar="WHO", help="account of the directory, or a group of it as in @devs: all its members"
    )
    _user(actions.add_parser("list", help="list the names, with types, fingerprints, groups, principals and comments"))
    show = actions.add_parser("print", help="print authorized_keys lines, for sshd's AuthorizedKeysCommand")
    _user(show)
    show.add_argument("type", nargs="?", metavar="TYPE", help="type of the offered key (%%t): print only its lines")
    show.add_argument("blob", nargs="?", metavar="BLOB", help="offered key or certificate (%%k)")
    show.add_argument(
        "--principals", action="store_true",
        help="print principals instead, for AuthorizedPrincipalsCommand; TYPE BLOB is the CA key (%%T %%K)",
    )  # fmt: skip


def _user(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("user", metavar="USER", help="shared account")


def run(args: argparse.Namespace, context: Context) -> int:
    """Add, remove, fetch, list or print."""
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
