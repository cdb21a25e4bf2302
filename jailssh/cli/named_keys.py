"""The parts of ``jailssh keys`` that need the configuration: adding, listing, printing."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from jailssh.cli.adduser import read_key_file
from jailssh.config import authorized
from jailssh.config.key_sections import KeySection, of_key
from jailssh.config.keys import CERTIFICATE, Key, Keyring, check_principal, fingerprint, lines_of
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, UsageError, raise_all
from jailssh.core.journal_fields import KEY, USER
from jailssh.core.names import escape
from jailssh.host import accounts
from jailssh.jail import authorized_keys
from jailssh.jail.configuration import load_configuration
from jailssh.jail.this_host import to_account
from jailssh.publish.account_plan import Use
from jailssh.publish.publish import Publisher
from jailssh.setup import afterwards
from jailssh.users import fetched, keyring
from jailssh.users.keyring import Addition


def run(args: argparse.Namespace, context: Context) -> int:
    """Add, fetch, list or print."""
    return {"add": _add, "fetch": _fetch, "list": _list, "print": _print}[args.action](args, context)


def _add(args: argparse.Namespace, context: Context) -> int:
    context.need_real_root("keys add")
    principals = tuple(dict.fromkeys(check_principal(each) for each in args.principal))
    keys = tuple(Key(key.kind, key.blob, key.comment, principals) for key in read_key_file(args.file, args.file))
    wish = Addition(args.user, args.name, keys, tuple(dict.fromkeys(args.group)))
    lines = keyring.add(context.layout, wish, Publisher(context.layout))
    context.changed(lines, {USER: args.user, KEY: args.name})
    after, errors = afterwards.settle(context.layout, [args.user])
    context.say(after)
    raise_all(errors)
    return EXIT_OK


def _fetch(args: argparse.Namespace, context: Context) -> int:
    context.need_real_root("keys fetch")
    done = fetched.fetch(context.layout, args.user, args.who, Publisher(context.layout))
    if done.lines:
        context.changed(done.lines, {USER: args.user})
    else:
        context.say([f"{args.user}: no changes"])
    # With its first key the account is a shared one.
    after, errors = afterwards.settle(context.layout, [args.user]) if done.lines else ([], [])
    context.say(after)
    errors = [*done.errors, *errors]
    for line in (line for error in errors for line in error.lines()):
        context.tell(line)
    return EXIT_FAILED if errors else EXIT_OK


def _list(args: argparse.Namespace, context: Context) -> int:
    configuration = load_configuration(context.layout)
    ring, user = configuration.keyring(args.user, vacant=True), configuration.user(args.user)
    settings = {name: of_key(user.for_keys, name, ring.groups[name]) if user else [] for name in ring.keys}
    facts = [
        {
            "name": name,
            "type": key.kind,
            "fingerprint": key.fingerprint(),
            "comment": key.comment,
            "groups": list(ring.groups[name]),
            "principals": list(key.principals),
            "settings": [{"section": each.title, "origin": each.origin} for each in settings[name]],
        }
        for name, keys in ring.keys.items()
        for key in keys
    ]
    nameless = [] if ring.shared else _nameless(authorized_keys.present(context.layout, args.user))
    facts += [{"name": "", "fingerprint": told, "comment": comment} for told, comment in nameless]
    if not facts and not context.layout.root:
        accounts.get(args.user)  # Of an account that has gone, keys are listed.
    lines = [f"{told}  {comment}{_whose(comment)}".rstrip() for told, comment in nameless]
    context.facts(facts, [*(_table(ring, settings) or [f"{args.user}: no named keys"]), *lines])
    return EXIT_OK


def _nameless(text: str) -> list[tuple[str, str]]:
    """Return fingerprint and comment of the keys in a file whose keys have no names: by either one of them goes."""
    lines = [line for line in lines_of(text) if authorized.blob_of(line)]
    return [(fingerprint(authorized.blob_of(line)), escape(authorized.comment_of(line), 200)) for line in lines]


def _whose(comment: str) -> str:
    return "  (added by the account itself)" if comment.startswith(authorized.OWN) else ""


def _table(ring: Keyring, settings: Mapping[str, Sequence[KeySection]]) -> list[str]:
    groups = {name: ", ".join(ring.groups[name]) or "-" for name in ring.keys}
    first, second = (max(map(len, texts), default=0) for texts in (groups.keys(), groups.values()))
    lines = []
    for name, keys in ring.keys.items():
        for key in keys:
            signs = f"  certificates for {', '.join(key.principals)}" if key.principals else ""
            comment = f"  {key.comment}" if key.comment else ""
            more = f"  with {' '.join(each.title for each in settings[name])}" if settings[name] else ""
            told = f"{key.fingerprint()} {key.kind}{signs}{comment}{more}"
            lines.append(f"{name:<{first}}  {groups[name]:<{second}}  {told}")
    return lines


def _print(args: argparse.Namespace, context: Context) -> int:
    if (args.type is None) != (args.blob is None):
        raise UsageError("keys print", "requires TYPE and BLOB, or neither")
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
