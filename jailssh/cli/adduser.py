"""``jailssh adduser``: put an account into a jail."""

from __future__ import annotations

import argparse
import datetime
from dataclasses import replace
from functools import partial

from jailssh.config import account_list, settings
from jailssh.config.key_formats import as_openssh, is_key_text
from jailssh.config.keys import Key, parse_keys
from jailssh.config.limits import Quota
from jailssh.config.values import parse
from jailssh.console import progress
from jailssh.console.context import ASSUME_YES, Context
from jailssh.console.inputs import read_named
from jailssh.core.errors import EXIT_OK, JailsshError, UsageError, parts, raise_all
from jailssh.core.journal_fields import JAIL, USER
from jailssh.core.names import check_account_name, check_jail_name, escape
from jailssh.files import walked
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.jail.this_host import ThisHost
from jailssh.publish.publish import Publisher, withdraw_plan
from jailssh.selftest import canary
from jailssh.selftest.report import worst
from jailssh.setup import afterwards, home_keys
from jailssh.setup.home_keys import DROP, LEAVE_OUT, Choice
from jailssh.users import adduser, many
from jailssh.users.adduser import AddUserOptions

EXAMPLES = (
    "jailssh adduser alice --jail sftp-only --key alice.pub",
    "jailssh adduser bob --jail sftp,scp",
    "jailssh adduser backup1 --jail rsync-backup --home /srv/backup1",
    "jailssh adduser dora --jail sftp-only --quota 5G,100000",
    "jailssh adduser carl --jail sftp-only --home /srv/homes/carl --home-move",
    "jailssh adduser --from accounts.csv --jail sftp-only",
)
KEYS_LIMIT = 1 << 20
HASH_LIMIT = 1 << 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="account names; missing accounts are created")
    parser.add_argument("--jail", metavar="JAIL[,JAIL…]", help="jails, profiles or plugins; several are combined")
    parser.add_argument(
        "--from",
        dest="list",
        metavar="FILE",
        help="accounts from a CSV file, - for standard input; its first line names the columns: "
        f"{','.join(account_list.COLUMNS)}",
    )
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="FILE",
        help="public keys that authorize logins: a file, - for standard input, or a key itself; repeatable",
    )
    parser.add_argument("--key-from", metavar="USER", help="also the keys by which the account USER logs in")
    parser.add_argument(
        "--quota",
        default="",
        metavar="SIZE[,FILES]",
        help="space and number of files of the account, as in 5G,100000; for disk and files in its own [limits]",
    )
    parser.add_argument("--expires", default="", metavar="DATE", help="day from which a new account is refused")
    parser.add_argument(
        "--password", metavar="FILE", help="hash of a new account's password (crypt(5)): a file, - for standard input"
    )
    parser.add_argument("--uid", type=int, metavar="UID", help="uid of a new account")
    parser.add_argument("--gecos", metavar="TEXT", help="full name of a new account")
    parser.add_argument("--home", metavar="DIR", help="home of a new account (default /home/NAME)")
    parser.add_argument(
        "--home-move",
        action="store_true",
        help="move the home of an account that exists to --home; deluser moves it back",
    )
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
    parser.add_argument(
        "--canary", action="store_true", help="prove the first account of each jail by a selftest, else roll back"
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
    """Put the accounts into their jails."""
    context.need_real_root("adduser")
    wishes = _wishes(args, context)
    if any(wish.expires is not None for wish in wishes):
        configuration = load_configuration(context.layout)
        wishes = [_with_own_day(wish) if configuration.may_jump(wish.jails) else wish for wish in wishes]
    publisher = Publisher(context.layout)
    counting = partial(whole_host, context.layout)
    if args.canary:
        withdraw = partial(withdraw_plan, context.layout)
        proof = partial(_proof, context)
        canary.prove(context.layout, wishes, publisher, context.confirm, withdraw, proof, counting)
    if len(wishes) == 1:
        (wish,) = wishes
        done = [many.Added(wish.name, adduser.adduser(context.layout, wish, publisher, context.confirm))]
    else:
        with progress.bar("adduser") as show, walked.once(context.layout.etc, context.layout.state):
            done = many.add_many(context.layout, wishes, publisher, context.confirm, progress=show, counting=counting)
    for each, wish in zip(done, wishes, strict=True):
        facts = {USER: wish.name, JAIL: "+".join(wish.jails)}
        if each.outcome.changed:
            context.record(each.outcome.lines, facts)
        if not context.json:
            context.say(each.outcome.lines)
    lines, errors = afterwards.settle(context.layout, [wish.name for wish in wishes])
    rows = [{"name": d.name, "changed": d.outcome.changed, "lines": list(d.outcome.lines)} for d in done]
    context.facts(rows, lines)
    raise_all(errors)
    return EXIT_OK


def whole_host(layout: Layout) -> ThisHost | None:
    """Do as :func:`jailssh.integrity.scene.whole`."""
    from jailssh.integrity import scene  # slow to import, and for many accounts alone

    return scene.whole(layout)


def _with_own_day(wish: AddUserOptions) -> AddUserOptions:
    """Return what is asked for with its day of expiry as a setting of ours: that of shadow(5) keeps sshd apart."""
    if wish.expires is None:
        return wish
    day = datetime.date.fromordinal(datetime.date(1970, 1, 1).toordinal() + wish.expires)
    return replace(wish, expires=None, own={**wish.own, "expires": f"{day} 00:00"})


def _proof(context: Context, name: str) -> str:
    """Return what a selftest of the account found; its report goes to standard error then."""
    # paramiko is half of the time that this verb takes to begin, and only a proof needs it.
    from jailssh.selftest.selftest import selftest

    reports = selftest(context.layout, load_configuration(context.layout), accounts.get(name))
    if worst(reports) == EXIT_OK:
        return ""
    for report in reports:
        for line in report.lines():
            context.tell(line)
    return "see the report above"


def _wishes(args: argparse.Namespace, context: Context) -> list[AddUserOptions]:
    """Return what is asked for; mistakes of the list are raised all at once."""
    if bool(args.names) == (args.list is not None):
        raise UsageError("adduser", "needs either NAME or --from FILE", hint="jailssh adduser --help")
    single = [flag for flag in ("home", "uid", "gecos", "password") if getattr(args, flag) is not None]
    if single and len(args.names) != 1:
        raise UsageError(f"--{single[0]}", "is for one NAME alone", hint="for many: --from FILE")
    if args.home_move and args.home is None and args.list is None:
        hint = "jailssh adduser NAME --jail JAIL --home DIR --home-move"
        raise UsageError("--home-move", "needs --home, or the column home of a list", hint=hint)
    if [args.list, args.password, *args.key].count("-") > 1:
        raise UsageError("adduser", "only one option can read standard input")
    common = AddUserOptions(
        name="",
        jails=jail_names(args.jail) if args.jail else (),
        keys=_common_keys(args, context),
        force=args.force,
        now=args.now,
        on_demand=args.on_demand,
        disable=args.disable,
        key_choice=key_choice(args),
        home_move=args.home_move,
        expires=account_list.day(args.expires, "--expires"),
        own=_quota(args.quota),
    )
    if args.list is not None:
        return _listed(args.list, common)
    if not common.jails:
        raise UsageError("adduser", "the following arguments are required: --jail", hint="jailssh adduser --help")
    wishes = [replace(common, name=check_account_name(name)) for name in args.names]
    if len(wishes) == 1:
        wishes = [replace(wishes[0], home=args.home, uid=args.uid, gecos=args.gecos or "", password=_password(args))]
    return wishes


def _quota(text: str) -> dict[str, str]:
    """Return the settings of the account's own file that ``--quota`` stands for."""
    if not text:
        return {}
    size, _, files = text.partition(",")
    found: dict[str, str] = {name: value for name, value in ((Quota.DISK, size), (Quota.FILES, files)) if value}
    kinds = {row.name: row.kind for row in settings.USER}
    try:
        if not all(parse(kinds[name], value) for name, value in found.items()):
            raise ValueError("allows nothing")
    except ValueError as error:
        raise UsageError(f"--quota {text}", str(error), hint="as in --quota 5G, or --quota 5G,100000") from None
    return found


def _common_keys(args: argparse.Namespace, context: Context) -> tuple[Key, ...]:
    keys = [key for path in args.key for key in read_key_file(path, f"--key {path}")]
    if args.key_from:
        keys += home_keys.keys_of(context.layout, check_account_name(args.key_from))
    return tuple(keys)


def _password(args: argparse.Namespace) -> str:
    if args.password is None:
        return ""
    what = f"--password {args.password}"
    data = read_named(args.password, what, HASH_LIMIT, "one password hash").decode("utf-8", "replace")
    return account_list.password_hash(data, what)


def _listed(path: str, common: AddUserOptions) -> list[AddUserOptions]:
    """Return what the lines of a list ask for; what a line leaves out is as on the command line."""
    data = read_named(path, f"--from {path}", account_list.MAX_LIST, "a list of accounts")
    source = "standard input" if path == "-" else path
    wishes: list[AddUserOptions] = []
    errors: list[JailsshError] = []
    for row in account_list.read(data, source):
        try:
            if not (row.jails or common.jails):
                raise UsageError(f"{row.where}: jail", "is missing", hint="add the column jail, or use --jail")
            keys = [key for text in row.keys for key in _listed_keys(text, row.where)]
            wish = replace(common, name=row.name, jails=row.jails or common.jails, keys=(*common.keys, *keys))
            wish = replace(wish, home=row.home, uid=row.uid, gecos=row.gecos, password=row.password, where=row.where)
            wishes.append(wish if row.expires is None else replace(wish, expires=row.expires))
        except JailsshError as error:
            errors += parts(error)
    raise_all(errors)
    if not wishes:
        raise UsageError(source, "names no account")
    return wishes


def _listed_keys(text: str, where: str) -> list[Key]:
    if text == "-":
        raise UsageError(f"{where}: key", "is not a key and not a file")
    return read_key_file(text, f"{where}: key {escape(text, 60)}")


def jail_names(text: str) -> tuple[str, ...]:
    """Return the names in ``--jail A,B``, sorted, each once."""
    return tuple(sorted({check_jail_name(name.strip()) for name in text.split(",")}))


def read_key_file(path: str, what: str) -> list[Key]:
    """Return the keys in a file that the administrator named, "-" for standard input, or in a text that is a key."""
    if is_key_text(path):
        return parse_keys(path.encode("utf-8", "surrogateescape"), "the given key")
    data = read_named(path, what, KEYS_LIMIT, "a file of public keys")
    return parse_keys(as_openssh(data, what), "standard input" if path == "-" else path)
