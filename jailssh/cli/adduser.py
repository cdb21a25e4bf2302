"""``jailssh adduser``: put an account into a jail."""

from __future__ import annotations

import argparse

from jailssh.config.key_formats import as_openssh, is_key_text
from jailssh.config.keys import Key, parse_keys
from jailssh.console.context import ASSUME_YES, Context
from jailssh.console.inputs import read_named
from jailssh.core.errors import EXIT_OK
from jailssh.core.journal_fields import JAIL, USER
from jailssh.core.names import check_account_name, check_jail_name
from jailssh.publish.publish import Publisher
from jailssh.users import adduser
from jailssh.users.home_keys import DROP, LEAVE_OUT, Choice

EXAMPLES = (
    "jailssh adduser alice --jail sftp-only --key alice.pub",
    "jailssh adduser bob --jail sftp,scp",
    "jailssh adduser backup1 --jail rsync-backup --home /srv/backup1",
)
KEYS_LIMIT = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("name", metavar="NAME", help="account name; a missing account is created")
    parser.add_argument(
        "--jail", required=True, metavar="JAIL[,JAIL…]", help="jails, profiles or plugins; several are combined"
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="FILE",
        help="public keys that authorize logins: a file, - for standard input, or a key itself; repeatable",
    )
    parser.add_argument("--home", metavar="DIR", help="home directory of a new account (default /home/NAME)")
    parser.add_argument("--on-demand", action="store_true", help="build image and plan at the first login")
    parser.add_argument(
        "--force", action="store_true", help="allow system accounts and privileged groups (they may escape)"
    )
    parser.add_argument(
        "--now", action="store_true", help="allow a logged-in account; its running processes stay unconfined"
    )
    parser.add_argument("--yes", action="store_true", help=f"when asked to jail an existing account, {ASSUME_YES}")
    parser.add_argument(
        "--disable", action="store_true", help="set aside its cron and at jobs, lingering, .forward and similar files"
    )
    add_key_arguments(parser)


def add_key_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what becomes of the keys in the home of an account that exists."""
    parser.add_argument(
        "--key-commands",
        choices=(DROP, LEAVE_OUT),
        default="",
        help="keys in the home that are limited to a command: drop the limit (the key can use the whole jail), or "
        "leave the key out",
    )
    parser.add_argument(
        "--home-keys",
        choices=("take", "leave"),
        default="take",
        help="keys in the home: take them over, or leave them there, where sshd no longer reads them (default take)",
    )


def key_choice(args: argparse.Namespace) -> Choice:
    """Return what the arguments say about keys in homes."""
    return Choice(args.key_commands, args.home_keys == "leave")


def run(args: argparse.Namespace, context: Context) -> int:
    """Put the account into its jails."""
    context.need_real_root("adduser")
    wish = adduser.AddUserOptions(
        name=check_account_name(args.name),
        jails=jail_names(args.jail),
        keys=tuple(key for path in args.key for key in read_key_file(path, f"--key {path}")),
        force=args.force,
        now=args.now,
        home=args.home,
        on_demand=args.on_demand,
        disable=args.disable,
        key_choice=key_choice(args),
    )
    done = adduser.adduser(context.layout, wish, Publisher(context.layout), context.confirm)
    if done.changed:
        context.changed(done.lines, {USER: wish.name, JAIL: "+".join(wish.jails)})
    else:
        context.say(done.lines)
    return EXIT_OK


def jail_names(text: str) -> tuple[str, ...]:
    """Return the names in ``--jail A,B``, sorted, each once."""
    return tuple(sorted({check_jail_name(name.strip()) for name in text.split(",")}))


def read_key_file(path: str, what: str) -> list[Key]:
    """Return the keys in a file that the administrator named, "-" for standard input, or in a text that is a key."""
    if is_key_text(path):
        return parse_keys(path.encode("utf-8", "surrogateescape"), "the given key")
    data = read_named(path, what, KEYS_LIMIT, "a file of public keys")
    return parse_keys(as_openssh(data, what), "standard input" if path == "-" else path)
