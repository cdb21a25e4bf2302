"""``jailssh keys``: the named keys of an account that several people share."""

from __future__ import annotations

import argparse

from jailssh.cli.actions import add_actions
from jailssh.cli.adduser import read_key_file
from jailssh.cli.context import Context
from jailssh.config.keys import CERTIFICATE, Key, Keyring, check_principal
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, UsageError
from jailssh.core.journal_fields import KEY, USER
from jailssh.host import accounts
from jailssh.image.jail import load_configuration, to_account
from jailssh.image.publish import Publisher
from jailssh.image.use import Use
from jailssh.users import key_removal, keyring
from jailssh.users.keyring import Addition

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
    return {"add": _add, "remove": _remove, "list": _list, "print": _print}[args.action](args, context)


def _add(args: argparse.Namespace, context: Context) -> int:
    context.need_real_root("keys add")
    principals = tuple(dict.fromkeys(check_principal(each) for each in args.principal))
    keys = tuple(Key(key.kind, key.blob, key.comment, principals) for key in read_key_file(args.file, args.file))
    wish = Addition(args.user, args.name, keys, tuple(dict.fromkeys(args.group)))
    lines = keyring.add(context.layout, wish, Publisher(context.layout))
    context.changed(lines, {USER: args.user, KEY: args.name})
    return EXIT_OK


def _remove(args: argparse.Namespace, context: Context) -> int:
    context.need_real_root("keys remove")
    done = key_removal.remove(context.layout, args.user, args.name, now=args.now)
    context.changed(done.lines, {USER: args.user, KEY: args.name})
    for line in (line for error in done.errors for line in error.lines()):
        context.tell(line)
    return EXIT_FAILED if done.errors else EXIT_OK


def _list(args: argparse.Namespace, context: Context) -> int:
    ring = load_configuration(context.layout).keyring(args.user, vacant=True)
    facts = [
        {
            "name": name,
            "type": key.kind,
            "fingerprint": key.fingerprint(),
            "comment": key.comment,
            "groups": list(ring.groups[name]),
            "principals": list(key.principals),
        }
        for name, keys in ring.keys.items()
        for key in keys
    ]
    context.facts(facts, _table(ring) or [f"{args.user}: no key has a name"])
    return EXIT_OK


def _table(ring: Keyring) -> list[str]:
    groups = {name: ", ".join(ring.groups[name]) or "-" for name in ring.keys}
    first, second = (max(map(len, texts), default=0) for texts in (groups.keys(), groups.values()))
    lines = []
    for name, keys in ring.keys.items():
        for key in keys:
            signs = f"  certificates for {', '.join(key.principals)}" if key.principals else ""
            comment = f"  {key.comment}" if key.comment else ""
            lines.append(f"{name:<{first}}  {groups[name]:<{second}}  {key.fingerprint()} {key.kind}{signs}{comment}")
    return lines


def _print(args: argparse.Namespace, context: Context) -> int:
    if (args.type is None) != (args.blob is None):
        raise UsageError("keys print", "takes TYPE and BLOB, or neither")
    configuration = load_configuration(context.layout)
    use = Use.of(configuration, to_account(accounts.get(args.user)))
    terminal = use.terminal()
    wanted = [(name, key) for name, keys in use.ring.keys.items() for key in keys if _lets_in(key, args)]
    login = context.layout.login_program
    if args.principals:
        head = ",".join(["restrict", *(["pty"] if terminal else []), f'command="{login}"'])
        context.say(f"{head} {principal}" for _, key in wanted for principal in key.principals)
    else:
        context.say(key.authorized(login, name, terminal=terminal) for name, key in wanted)
    return EXIT_OK


def _lets_in(key: Key, args: argparse.Namespace) -> bool:
    """True if sshd needs the line of ``key`` to decide about what the arguments say that a client offers."""
    if args.principals:
        return bool(key.principals) and args.blob in (None, key.blob)
    if args.type is not None and args.type.endswith(CERTIFICATE):
        return bool(key.principals)
    return args.blob is None or (not key.principals and args.blob == key.blob)
