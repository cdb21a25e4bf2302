"""``jailssh adduser``: put an account into a jail."""

from __future__ import annotations

import argparse

from jailssh.config.keys import Key, parse_keys
from jailssh.console.context import NOBODY_ASKED, Context
from jailssh.core.errors import EXIT_OK, HostError, UsageError
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
    parser.add_argument("name", metavar="NAME", help="the account; it is created if there is none")
    parser.add_argument(
        "--jail", required=True, metavar="JAIL[,JAIL…]", help="jails, profiles or plugins; several are combined"
    )
    parser.add_argument(
        "--key", action="append", default=[], metavar="FILE", help="a public key that may log in; may be repeated"
    )
    parser.add_argument("--home", metavar="DIR", help="home of a new account (default /home/NAME)")
    parser.add_argument("--on-demand", action="store_true", help="leave image and plan to the first login")
    parser.add_argument("--force", action="store_true", help="also a system account or a member of a strong group")
    parser.add_argument("--now", action="store_true", help="also while it is logged in; what runs stays as it is")
    parser.add_argument(
        "--yes", action="store_true", help=f"do not ask before an existing account is taken; {NOBODY_ASKED}"
    )
    parser.add_argument(
        "--disable", action="store_true", help="set aside its cron and at jobs, lingering, .forward and the like"
    )
    add_key_arguments(parser)


def add_key_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what becomes of the keys in the home of an account that exists."""
    parser.add_argument(
        "--key-commands",
        choices=(DROP, LEAVE_OUT),
        default="",
        help="keys of its home with a command of their own: take them without it, or leave them out",
    )
    parser.add_argument(
        "--home-keys", choices=("take", "leave"), default="take", help="leave: no key of its home lets in any more"
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
    """Return the keys in a file that the administrator named; it need not be root's, so it is only read."""
    try:
        with open(path, "rb") as stream:
            data = stream.read(KEYS_LIMIT + 1)
    except OSError as error:
        raise HostError(what, (error.strerror or str(error)).lower()) from error
    if len(data) > KEYS_LIMIT:
        raise UsageError(what, "is too large for a file of public keys")
    return parse_keys(data, path)
