"""``jailssh selftest``: prove a jail with real logins."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from functools import partial

from jailssh.config.reader import did_you_mean
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, JailsshError, UsageError, parts
from jailssh.core.names import escape
from jailssh.host import accounts
from jailssh.jail.configuration import Configuration, NotJailedError, load_configuration
from jailssh.jail.this_host import to_account
from jailssh.selftest.in_jail import selftest_jail
from jailssh.selftest.report import CannotTryError, Report, worst
from jailssh.selftest.selftest import selftest

EXAMPLES = (
    "jailssh selftest alice",
    "jailssh selftest --jail sftp-only",
    "jailssh selftest --json alice git >report.json",
)

Target = Callable[[], list[Report]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "target", nargs="*", metavar="USER|JAIL", help="accounts, or jails (default: all accounts that have a file)"
    )
    parser.add_argument(
        "--jail",
        action="append",
        default=[],
        metavar="JAIL",
        help="a jail, also where an account has its name; repeatable",
    )
    parser.description = (
        "Log in for real, over loopback by the host's own sshd, with a key that is removed again: what the jail's\n"
        "plugins announce must work, and published attacks must not.  An account is tested as it is, its files stay\n"
        "untouched; for a jail, an account is made and deleted.  To settle an interrupted run: jailssh recover\n"
        "Exit status 0: all as it should be; 1: something is wrong; 2: something cannot be tried."
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Try each target; print the reports."""
    context.need_real_root("selftest")
    configuration = load_configuration(context.layout)
    targets = list(_targets(context, configuration, args.target, args.jail))
    reports: list[Report] = []
    failed: list[JailsshError] = []
    for act in targets:
        try:
            done = act()
        except JailsshError as error:
            if error.exit_code > 128:
                raise
            failed.append(error)
            _tell(context, error)
            continue
        reports += done
        for report in done if not context.json else ():
            context.say(report.lines())
    if context.json:
        facts = {
            "reports": [report.facts() for report in reports],
            "errors": [{"what": e.what, "why": e.why, "hint": e.hint} for error in failed for e in parts(error)],
        }
        context.facts(facts, ())
    codes = {worst(reports), *(_code(error) for error in failed)}
    return next((code for code in (EXIT_FAILED, EXIT_USAGE) if code in codes), EXIT_OK)


def _code(error: JailsshError) -> int:
    """Return the exit code for what could not be tried: a fault of the configuration or of this host is none found."""
    return EXIT_USAGE if isinstance(error, CannotTryError | UsageError) else EXIT_FAILED


def _tell(context: Context, error: JailsshError) -> None:
    for line in error.lines():
        context.tell(escape(line))


def _targets(context: Context, configuration: Configuration, names: list[str], jails: list[str]) -> Iterator[Target]:
    if not names and not jails:
        names = [name for name in configuration.user_names() if accounts.find(name) is not None]
        if not names:
            raise UsageError("selftest", "no account is in a jail by name", hint="jailssh selftest --jail JAIL")
    layout = context.layout
    known = {*configuration.documents, *configuration.registry.plugins}
    for name in dict.fromkeys(names):
        entry = accounts.find(name)
        if entry is not None and not (name in known and _is_unjailed(configuration, entry)):
            yield partial(selftest, layout, configuration, entry)
        elif name in known:
            yield partial(selftest_jail, layout, name)
        else:
            hint = did_you_mean(name, {*known, *configuration.user_names()})
            raise UsageError(f"{escape(name, 60)!r}", "is not an account or a jail", hint=hint)
    for name in dict.fromkeys(jails):
        if name not in known:
            raise UsageError(f"jail {escape(name, 60)}", "does not exist", hint=did_you_mean(name, known))
        yield partial(selftest_jail, layout, name)


def _is_unjailed(configuration: Configuration, entry: accounts.AccountEntry) -> bool:
    try:
        configuration.jails_for(to_account(entry))
    except NotJailedError:
        return True
    return False
