"""``jailssh config``: check the configuration, show it with where each value comes from, or import another's."""

from __future__ import annotations

import argparse
import datetime
import os
from collections.abc import Sequence
from contextlib import suppress

from jailssh.config.files import GROUPS, LIMITS
from jailssh.config.reader import Document, Item, show
from jailssh.config.settings import USER, Setting
from jailssh.console.context import Context
from jailssh.console.inputs import read_named
from jailssh.core.errors import EXIT_OK, UsageError, raise_all
from jailssh.core.names import pluralize
from jailssh.core.tries import Tries
from jailssh.diagnose.findings import about_slices, find, in_jails, note_lines
from jailssh.files import walked
from jailssh.host import accounts, process
from jailssh.host.accounts import UnansweredError
from jailssh.integrity.scene import counted
from jailssh.jail.configuration import Configuration, load_configuration
from jailssh.jail.steady import steady
from jailssh.jail.this_host import to_account
from jailssh.jailkit import jk_check, jk_lsh, jk_uchroot
from jailssh.setup import doors, setup

EXAMPLES = (
    "jailssh config check",
    "jailssh config show",
    "jailssh config show sftp-only",
    "jailssh config show --user alice",
    "jailssh config show backup --key laptop",
    "jailssh config import /etc/jailkit/jk_lsh.ini --user alice",
    "jailssh config import /etc/jailkit/jk_check.ini",
    "jailssh config import /etc/jailkit/jk_uchroot.ini",
)

MAX_IMPORT = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "action",
        choices=("check", "show", "import"),
        help="check: report all errors; show: print each value and its origin; import: print a jail file equivalent to"
        " Jailkit's jk_lsh.ini for an account, the suppressions of its jk_check.ini, or who may enter by its"
        " jk_uchroot.ini",
    )
    parser.add_argument(
        "name",
        nargs="?",
        metavar="JAIL[,JAIL…]|FILE",
        help="show: jail, plugin or account (default: the main file); import: path of jk_lsh.ini",
    )
    parser.add_argument(
        "--user",
        metavar="NAME",
        help="show: account whose effective settings are printed; import: account in jk_lsh.ini",
    )
    parser.add_argument(
        "--key", metavar="KEY", help="show: named key of the account; its effective settings are printed"
    )
    parser.add_argument(
        "--group", metavar="GROUP", help="import: primary group of an account that does not exist on this host"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Check, show or import."""
    if args.action == "import":
        return _import(args, context)
    if args.group is not None:
        raise UsageError("--group", "is valid only with import")
    if args.key is not None and (args.action != "show" or (args.user or args.name) is None):
        raise UsageError("--key", "is valid only with show and an account")
    if args.action == "check" and (args.name, args.user) != (None, None):
        raise UsageError("config check", "accepts no jail and no account: it checks everything")
    if args.name is not None and args.user is not None:
        raise UsageError("config show", "accepts a jail or an account, not both")
    configuration = load_configuration(context.layout)
    if args.action == "check":
        with walked.once(context.layout.etc, context.layout.state):
            return _check(configuration, context)
    if args.key is not None:
        rows = show(_items_of(configuration, accounts.get(args.user or args.name).name, args.key))
    else:
        rows = show(_items(configuration, args.name, args.user, context))
    width = max(len(_key(section, name)) for section, name, _, _ in rows)
    facts_shown = [
        {"section": section, "name": name, "value": value, "origin": origin} for section, name, value, origin in rows
    ]
    context.facts(
        facts_shown,
        [f"{_key(section, name):<{width}} = {value:<24}  # {origin}" for section, name, value, origin in rows],
    )
    return EXIT_OK


def _import(args: argparse.Namespace, context: Context) -> int:
    """Print a jail file; the differences stand in it as comments.  Nothing is written."""
    if args.name is not None and args.user is None and args.group is None:
        text = read_named(args.name, args.name, MAX_IMPORT, "a jk_check.ini").decode("utf-8", "surrogateescape")
        if jk_check.is_one(text):
            return _import_checks(text, args.name, context)
        if jk_uchroot.is_one(text):
            return _import_entries(text, context)
    if args.name is None or args.user is None:
        raise UsageError("config import", "requires FILE and --user", hint=EXAMPLES[-3])
    group = args.group
    if group is None:
        entry = accounts.find(args.user)
        if entry is None:
            raise UsageError(
                f"--user {args.user}", "does not exist on this host", hint="add its primary group: --group GROUP"
            )
        group = entry.group
    text = read_named(args.name, args.name, MAX_IMPORT, "a jk_lsh.ini").decode("utf-8", "surrogateescape")
    found = jk_lsh.read(text, args.user, group, find=lambda name: process.find_program(name) or "")
    facts = {"section": found.section, "settings": {key: dict(value) for key, value in found.settings.items()},
             "warnings": [{"line": each.line, "text": each.text} for each in found.warnings]}  # fmt: skip
    context.facts(facts, found.as_text().splitlines())
    return EXIT_OK


def _import_entries(text: str, context: Context) -> int:
    """Print who may enter which jail; what is not as it was stands above as comments.  Nothing is written."""
    found = jk_uchroot.read(text)
    facts = {"enter": {jail: list(words) for jail, words in found.enter.items()}, "warnings": found.warnings}
    context.facts(facts, found.as_text(context.layout.jails).splitlines())
    return EXIT_OK


def _import_checks(text: str, file: str, context: Context) -> int:
    """Print suppressions; what cannot be kept stands above them as comments.  Nothing is written."""
    found = jk_check.read(text, file, os.path.isdir)
    facts = {"suppressions": [{"id": name, "path": path} for name, path, _ in found.rows], "warnings": found.warnings}
    context.facts(facts, found.as_text(datetime.date.today()).splitlines())
    return EXIT_OK


def _check(configuration: Configuration, context: Context) -> int:
    """Raise every error and everything that looks wrong on this host at once; notes are only told."""
    configuration = steady(configuration, counted(configuration.layout))
    tries = Tries()
    tries("jails", configuration.validate_jails)
    jails_of: dict[str, tuple[str, ...]] = {}
    found = find(configuration, jails=jails_of, errors=tries.errors)
    people = in_jails(configuration, jails_of)
    for line in note_lines([*found.notes, *about_slices(configuration, people)]):
        context.tell(line)
    # What is open beside the jails of this host; only root may ask sshd, PAM and sudo.
    beside = []
    if _can_look(context):
        entries = {}
        for name in jails_of:
            with suppress(UnansweredError):  # It is asked for again there.
                if (entry := configuration.host.find_entry(name)) and entry.uid:
                    entries[name] = entry
        beside = doors.findings(configuration.layout, configuration, entries)
    raise_all([*tries.errors, *found.wrong, *beside])
    facts = {"jails": sorted(configuration.documents), "accounts": configuration.user_names()}
    jails, accounts = (pluralize(len(facts[key]), key.removesuffix("s")) for key in ("jails", "accounts"))
    context.facts(facts, [f"no errors in {jails} and the files of {accounts}"])
    return EXIT_OK


def _can_look(context: Context) -> bool:
    return not context.layout.root and os.geteuid() == 0 and setup.was_run(context.layout)


def _items(configuration: Configuration, name: str | None, user: str | None, context: Context) -> Sequence[Item]:
    if user is not None:
        return _items_of(configuration, accounts.get(user).name)
    if name is None:
        return configuration.main.items
    known = {*configuration.documents, *configuration.registry.plugins, *configuration.registry.broken}
    if accounts.find(name) is not None:
        if name not in known:
            return _items_of(configuration, name)
        context.tell(f"note: an account has the same name; to show it: jailssh config show --user {name}")
    return configuration.definition(name.replace("+", ",").split(",")).config.items


def _items_of(configuration: Configuration, name: str, key: str | None = None) -> Sequence[Item]:
    """Return what holds for an account, or a key of it: its jail's settings, in the place of some its own."""
    account = to_account(accounts.get(name))
    jails = configuration.jails_for(account)
    items = configuration.definition(jails).config.items
    user = configuration.user(name)
    if key is not None:
        holder = configuration.known_holder(account, key)
        items, user = holder.definition.config.items, holder.user
    if user is None:
        documents = [configuration.documents[jail] for jail in jails]
        origins = [each.entries[""]["groups"].origin for each in documents if isinstance(each, Document)]
        setting = next(row for row in USER if row.name == "jail")
        return (Item(setting, jails, jails, f"by its Unix groups: {', '.join(origins)}"), *items)
    head = [item for item in user.items if not item.setting.section]
    rings = [
        Item(Setting(GROUPS, group.name, "words", "", ""), group.keys, group.keys, group.origin)
        for group in user.groups
    ]
    own = {(LIMITS, key): item for key, item in user.access.items()}
    # What keys have instead: of one of them it stands in the place of the jail's.
    keyed = [
        Item(Setting(each.title.strip("[]"), setting, "", "", ""), entry.raw, entry.raw, entry.origin)
        for each in (user.by_key if key is None else ())
        for setting, entry in each.entries.items()
    ]
    return (*head, *rings, *keyed, *(own.get((item.setting.section, item.setting.name), item) for item in items))


def _key(section: str, name: str) -> str:
    return f"[{section}] {name}" if section else name
