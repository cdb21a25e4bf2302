"""``jailssh apply``: check everything, show what changes, publish it."""

from __future__ import annotations

import argparse
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial

from jailssh.change import transaction
from jailssh.config.files import read_main
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_OK, HostError, JailsshError, UsageError
from jailssh.core.tries import Tries
from jailssh.daemon import last_good
from jailssh.diagnose.findings import Looked, find, note_lines
from jailssh.files import fs, narrow, walked
from jailssh.host.accounts import UnansweredError
from jailssh.host.paths import Layout
from jailssh.integrity.scene import counted
from jailssh.integrity.settled import Settled
from jailssh.jail.configuration import Configuration, load_configuration
from jailssh.jail.steady import steady
from jailssh.jail.this_host import THIS_HOST, Remembering
from jailssh.publish import crontabs, entered, leftovers
from jailssh.publish.alike import grouped
from jailssh.publish.each import changes, publish_each, withdraw_gone
from jailssh.publish.publish import PlanChange
from jailssh.publish.revoked import revocations
from jailssh.setup import doors, forwarding, jumping, outbound, running, setup
from jailssh.users import gone, key_removal

EXAMPLES = (
    "jailssh apply",
    "jailssh apply --dry-run",
    "jailssh apply --dry-run --details",
    "jailssh apply --gone",
    "jailssh apply --crontabs",
    "jailssh apply --from bundle --plan",
    "jailssh apply --pull",
)

_MOST_NAMES, _FIRST_NAMES = 10, 3
"""Of accounts that are shown as one: so many are named, of more the first ones."""

Taken = dict[str, object] | None
"""Facts about a bundle that was taken in first, None without one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("--dry-run", "--plan", action="store_true", help="check and show the changes, publish nothing")
    parser.add_argument(
        "--details", action="store_true", help="show each account by itself, also where many change alike"
    )
    _add_bundle_arguments(parser)
    parser.add_argument(
        "--gone", action="store_true", help="only set aside the files of deleted accounts; for jailssh-gone.service"
    )
    parser.add_argument(
        "--crontabs", action="store_true", help="only take over crontabs set in jails; for jailssh-crontabs.service"
    )


def _add_bundle_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--from", dest="source", metavar="BUNDLE", help="first take in a signed bundle; - is standard input"
    )
    source.add_argument("--pull", action="store_true", help="the same, with what the command of pull.conf writes")
    parser.add_argument("--replace", action="store_true", help="with a bundle: write files that differ here, too")
    parser.add_argument("--older", action="store_true", help="with a bundle: take one that is older than the last one")
    parser.add_argument(
        "--on-demand", action="store_true", help="with a bundle: build images and plans of new accounts at first logins"
    )


def _has_bundle(args: argparse.Namespace) -> bool:
    """True if there is a bundle to take in; raises for options that need one."""
    if args.source is not None or args.pull:
        if args.gone:
            raise UsageError("--gone", "cannot be combined with a bundle")
        return True
    for name, given in (("--replace", args.replace), ("--older", args.older), ("--on-demand", args.on_demand)):
        if given:
            raise UsageError(name, "requires a bundle: --from BUNDLE or --pull")
    return False


def run(args: argparse.Namespace, context: Context) -> int:
    """Validate, show, publish.  Running sessions keep what they have.

    A mistake stops those alone whom it is about, and what is taken away goes first: all errors come in the end.
    """
    context.need_root("apply")
    try:
        with walked.once(context.layout.etc, context.layout.state):
            return _run(args, context)
    except KeyboardInterrupt:
        error = HostError("interrupted", "published plans stay", hint="publish the rest: jailssh apply")
        error.exit_code = 128 + signal.SIGINT
        raise error from None


def _run(args: argparse.Namespace, context: Context) -> int:
    layout = context.layout
    if args.gone and layout.root:
        raise UsageError("--gone", "cannot be combined with --root: accounts belong to the running host")
    if args.crontabs:
        return _take_crontabs_over(args, context)
    act = not args.dry_run
    taken: Taken = None
    tries = Tries()
    if _has_bundle(args):
        from jailssh.fleet import from_bundle  # slow to import, and for a bundle alone

        how = {"replace": args.replace, "older": args.older, "on_demand": args.on_demand}
        taken, skipped = from_bundle.take_in(context, args.source, act=act, **how)
        tries.errors += skipped
    if taken is not None and not act:
        return EXIT_OK
    found: list[PlanChange] = []
    shells: list[str] = []
    report = Report(context, taken, details=args.details)
    with report.also_for_errors(found):
        if args.gone:
            if act:
                setup.prepare(layout)
            with fs.lock(layout.lock) if act else nullcontext():
                _set_aside_gone(layout, found, tries.errors, act=act)
            tries.end()
            report.show(found, "no account is gone")
            return EXIT_OK
        settled: Settled | None = None
        looked = Looked()
        if act:
            configuration, settled = _apply(context, found, shells, tries, looked)
        else:
            configuration = _look(context, found, shells, tries)
    context.say(shells if not context.json else ())
    report.show(found, "no changes")
    try:
        _tell_notes(context, configuration, settled, looked)
    except UnansweredError as error:
        tries.errors.append(error)
    tries.end()
    return EXIT_OK


def _take_crontabs_over(args: argparse.Namespace, context: Context) -> int:
    for name, given in (("--root", context.layout.root), ("--dry-run", args.dry_run), ("--gone", args.gone),
                        ("a bundle", _has_bundle(args))):  # fmt: skip
        if given:
            raise UsageError("--crontabs", f"cannot be combined with {name}")
    tries = Tries()
    with fs.lock(context.layout.lock):
        changed = crontabs.take_over(context.layout, tries.errors)
    facts = [{"name": name, "lines": [line]} for name, line in changed]
    context.facts(facts, [f"{name}: {line}" for name, line in changed] or ["no changes"])
    tries.end()
    return EXIT_OK


def _set_aside_gone(layout: Layout, found: list[PlanChange], errors: list[JailsshError], *, act: bool) -> None:
    """Set aside what belongs to who is gone; the accounts of this host are not those of another root."""
    if not layout.root:
        host = counted(layout) or THIS_HOST
        changed, failed = gone.check(layout, act=act, host=host)
        found += [*changed, *entered.withdraw_gone(layout, host, act=act)]
        errors += failed


def _look(context: Context, found: list[PlanChange], shells: list[str], tries: Tries) -> Configuration:
    """Do as :func:`_apply` does, but change nothing."""
    layout = context.layout
    tries("accounts that are gone", lambda: _set_aside_gone(layout, found, tries.errors, act=False))
    found += revocations(layout, act=False, errors=tries.errors)
    configuration = steady(load_configuration(layout), counted(layout))
    tries("configuration", configuration.validate_jails)
    wrong = _account_errors(configuration, tries)
    if setup_here(context):
        shells += doors.set_shells(layout, configuration, act=False, errors=tries.errors)
        shells += forwarding.settle(layout, configuration, act=False, errors=tries.errors)
        shells += jumping.settle(layout, configuration, act=False, errors=tries.errors)
        shells += outbound.settle(layout, configuration, act=False, errors=tries.errors)
    found += changes(configuration, wrong, tries.errors)
    found += entered.pending_entries(configuration, tries.errors)
    return configuration


def _apply(
    context: Context, found: list[PlanChange], shells: list[str], tries: Tries, looked: Looked
) -> tuple[Configuration, Settled]:
    """Take away, then publish; ``found`` and ``shells`` get what changed, ``tries`` what failed.

    ``looked`` gets what is to be said of the accounts that are published.
    """
    layout = context.layout
    # Before anything that a mistake somewhere may stop, and without waiting long for whoever is at work.
    tries("state", lambda: setup.prepare(layout))
    with narrow.lock(layout.lock, key_removal.PATIENCE):
        found += revocations(layout, act=True, errors=tries.errors)

    def waiting(pid: int) -> None:
        context.tell(f"waiting for process {pid}, which holds {layout.lock}")

    # Nobody adds or takes away an account or a key meanwhile.
    with fs.lock(layout.lock, waiting):
        tries("accounts that are gone", lambda: _set_aside_gone(layout, found, tries.errors, act=True))
        # Half of an import is published by nobody: it is taken back, or completed.
        for subject in (transaction.IMPORT, setup.SHELLS):
            for line in tries(subject, partial(transaction.recover, layout, subject)) or ():
                context.tell(line)
        for line in (*transaction.others(layout, setup.SHELLS), *running.try_owed(layout)):
            context.tell(line)
        found += revocations(layout, act=True, errors=tries.errors)
        configuration = tries("configuration", lambda: load_configuration(layout))
        if configuration is None:
            # The main file names no jail, so who is in none is known without it; no number is too small then.
            defaults = replace(read_main(b"", layout.config_file), min_uid=1)
            jails = load_configuration(layout, defaults)
            found += withdraw_gone(jails, tries.errors)
            found += entered.withdraw_unlisted(jails, tries.errors, act=True)
            tries.end()
        assert configuration is not None
        # What is only looked at is asked for once, and what is published anew.
        settled = Settled(configuration)
        checked = settled.configuration
        tries("last good configuration", lambda: last_good.keep(layout))
        tries("configuration", checked.validate_jails)
        at = len(tries.errors)
        if setup_here(context):
            # What confines comes before the plans, which let in.
            _settle_host(layout, configuration.answered_by(counted(layout)), settled, shells, tries)
        # Looked at anew: judging thousands of accounts takes a while.
        now = configuration.answered_by(counted(layout))
        wrong: dict[str, list[JailsshError]] = {}
        failed = publish_each(now, found, wrong, settled.right, settled.published, looked)
        # What is wrong with single accounts is told before what failed for them.
        tries.errors[at:at] = [error for _, each in sorted(wrong.items()) for error in each]
        tries.errors += failed
        tries.errors += entered.publish_entries(configuration.answered_by(counted(layout)), found)
        leftovers.remove(layout, time.time())
    return checked, settled


def _settle_host(
    layout: Layout, configuration: Configuration, settled: Settled, shells: list[str], tries: Tries
) -> None:
    """Make the accounts' shells, groups and networks what their jails want; lines that say so go to ``shells``."""
    act = partial(doors.set_shells, layout, configuration, act=True, errors=tries.errors, known=settled.entries)
    shells += tries("login shells", act) or []
    known = settled.jails
    forwards = partial(forwarding.settle, layout, configuration, act=True, errors=tries.errors, known=known)
    shells += tries("forwarding", forwards) or []
    jumps = partial(jumping.settle, layout, configuration, act=True, errors=tries.errors, known=known)
    shells += tries("ports without a session", jumps) or []
    outside = partial(outbound.settle, layout, configuration, act=True, errors=tries.errors, known=known)
    shells += tries("ways out", outside) or []


def _account_errors(configuration: Configuration, tries: Tries) -> dict[str, list[JailsshError]]:
    """Return what is wrong with single accounts, by name, and keep it among what failed."""
    wrong = configuration.account_errors()
    tries.errors += [error for each in wrong.values() for error in each]
    return wrong


def _tell_notes(context: Context, configuration: Configuration, settled: Settled | None, looked: Looked) -> None:
    if settled:
        jails = {name: each.jails for name, each in settled.right.items()}
        findings = find(configuration, settled.findings, jails, looked=looked)
        settled.keep()
    else:
        findings = find(configuration)
    for line in note_lines([*findings.wrong, *findings.notes]):
        context.tell(line)
    if setup_here(context):
        for line in note_lines(doors.findings(context.layout, configuration, settled.entries if settled else None)):
            context.tell(line)
    if not context.layout.root and (rest := setup.pending(context.layout, configuration.groups())):
        context.tell(f"note: setup is out of date: {setup.explained(rest)}; run: jailssh setup")


def setup_here(context: Context) -> bool:
    """True if the accounts, sshd and PAM are this host's, and set up for jails."""
    return not context.layout.root and setup.was_run(context.layout)


@dataclass(frozen=True)
class Report:
    """How changes are shown; ``details``: each account by itself."""

    context: Context
    taken: Taken
    _: KW_ONLY
    details: bool

    @contextmanager
    def also_for_errors(self, found: Sequence[PlanChange]) -> Iterator[None]:
        """Show what has changed also where an error stops the rest."""
        try:
            yield
        except BaseException:
            if found:
                self.show(found, "")
            raise

    def show(self, found: Sequence[PlanChange], none: str) -> None:
        """Show what has changed, ``none`` where nothing has."""
        for change in found:
            for note in change.notes:
                self.context.tell(f"note: {change.name}: {note}")
        found = [change for change in found if change.lines]
        facts: object = [_fact(change) for change in found] if self.context.json else []
        if self.taken is not None:
            facts = {"bundle": self.taken, "plans": facts}
        self.context.facts(facts, self._lines(found) if found else [none])

    def _lines(self, found: Sequence[PlanChange]) -> Iterator[str]:
        # Of ten thousand new accounts these can be a million lines: each is made when it is printed.
        if self.details or len(found) == 1:
            yield from map(_by_itself, found)
            return
        host = counted(self.context.layout) or Remembering()
        for alike in grouped(found, host.find_entry):
            names = alike.names()
            yield _by_itself(alike.first) if len(names) == 1 else _as_one(alike.first, names)


def _by_itself(change: PlanChange) -> str:
    head = f"{change.name or 'a deleted account'} (uid {change.uid}), jail {change.jail or 'none'}:"
    if not change.uid:  # It has no plan.
        head = f"{change.name}:"
    return _block(head, change)


def _as_one(first: PlanChange, names: Sequence[str]) -> str:
    """Return what accounts have in common, by the lines of the first."""
    those = ", ".join(names)
    if len(names) > _MOST_NAMES:
        those = f"{', '.join(names[:_FIRST_NAMES])} and {len(names) - _FIRST_NAMES:,} more"
    who = f"jail {first.jail or 'none'}, {len(names):,} accounts: {those}"
    return _block(f"{who}; shown for {names[0]}, the others with their own name, uid and home:", first)


def _block(head: str, change: PlanChange) -> str:
    return "\n".join((head, *(f"  {line}" for line in change.lines)))


def _fact(change: PlanChange) -> dict[str, object]:
    return {"uid": change.uid, "name": change.name, "jail": change.jail, "lines": list(change.lines)}
