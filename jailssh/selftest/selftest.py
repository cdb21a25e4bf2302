"""Prove a jail with real logins: what it must allow works, what it must deny does not.

A key that lives for minutes and counts from this host alone is put where sshd reads the account's keys, and taken out
again.  Whatever is written lies in throw-away directories that the account makes.  Each change is in the undo journal
before it is made.
"""

from __future__ import annotations

import datetime
import glob
import os
import secrets
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from jailssh.change.transaction import Fault, Journal, no_fault
from jailssh.change.undo import Operation, UndoAction
from jailssh.core.closed import Network
from jailssh.core.errors import JailsshError, UsageError
from jailssh.core.ports import Ports
from jailssh.files import fs
from jailssh.host import accounts, as_user, sockets
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.image.store import current_image
from jailssh.jail.configuration import Configuration, NotJailedError
from jailssh.jail.holders import Holder
from jailssh.jail.this_host import to_account
from jailssh.plan import limits
from jailssh.plugin.trials import DENIED, Trial
from jailssh.publish import plan_files, trial_keys
from jailssh.publish.account_plan import Use, difference
from jailssh.publish.trial_keys import TrialKey
from jailssh.selftest import general, leftovers, servers, trying
from jailssh.selftest import ports as without_session
from jailssh.selftest.client import ClientKey, Connection, NotAuthenticatedError
from jailssh.selftest.general import Powers
from jailssh.selftest.report import CannotTryError, Kind, Report, Row, Verdict, shown
from jailssh.selftest.servers import Place
from jailssh.selftest.trying import Words
from jailssh.services import sshd
from jailssh.setup.setup import GROUP

LASTS = 900
"""Seconds: so long the key of a selftest counts at most."""
BUDGET = 600.0
"""Seconds: what has not been tried by then is not tried."""

_ENDING = 5.0

Places = Mapping[tuple[str, bool], str]
"""The throw-away directories, by their place and whether the name is visible; in place of one a NUL and why not."""


@dataclass(frozen=True)
class How:
    """``fault``: called between two steps.  ``lasts``: see :data:`LASTS`; ``budget``: see :data:`BUDGET`."""

    fault: Fault = no_fault
    lasts: int = LASTS
    budget: float = BUDGET


@dataclass
class _Run:
    """One selftest under way."""

    layout: Layout
    configuration: Configuration
    entry: AccountEntry
    use: Use
    places: list[Place]
    journal: Journal
    how: How
    token: str = field(default_factory=lambda: secrets.token_hex(4))
    begun: float = field(default_factory=time.monotonic)
    wall: float = field(default_factory=time.time)
    notes: list[str] = field(default_factory=list)
    before: frozenset[int] = frozenset()
    holders: list[Holder] = field(default_factory=list)

    @property
    def late(self) -> bool:
        """True once the time is over."""
        return time.monotonic() - self.begun > self.how.budget


def selftest(layout: Layout, configuration: Configuration, entry: AccountEntry, how: How | None = None) -> list[Report]:
    """Try everything about one account; return a report for each set of rights that it is used with.

    Raises :class:`CannotTryError` where nothing can be tried.  Call it without the lock of the set-up.
    """
    how = how or How()
    notes = leftovers.settle_all(layout)
    account = to_account(entry)
    try:
        use = Use.of(configuration, account)
    except NotJailedError as error:
        raise UsageError(error.what, error.why, hint=error.hint) from error
    shut_out = _shut_out(configuration, use)
    notes += [f"key {', '.join(each.names)}: not tried: {why}" for each, why in shut_out.items()]
    values = servers.effective(layout, entry.name)
    found = servers.places(values)
    if reasons := servers.why_not(layout, entry, values):
        raise CannotTryError(f"account {entry.name}", "; ".join(reasons))
    with changing(layout, leftovers.subject(entry.name), f"account {entry.name}", how.fault) as journal:
        before = frozenset(accounts.processes_of(entry.uid))
        holders = [each for each in use.results if each not in shut_out]
        run = _Run(layout, configuration, entry, use, found, journal, how, notes=notes, before=before, holders=holders)
        return _all_rights(run)


def _shut_out(configuration: Configuration, use: Use) -> dict[Holder, str]:
    """Return why limits let some keys not log in here; raise :class:`CannotTryError` where they let nobody."""
    found, hint = {}, ""
    for holder in use.results:
        access = holder.settings(configuration.main).access
        code, why = limits.judge(access, int(time.time()))
        if code:
            found[holder], hint = why, f"see its limits: jailssh config show {use.account.name}"
        elif access.addresses and not limits.allows_address(access, "127.0.0.1"):
            found[holder] = f"logins are allowed from {', '.join(access.addresses)} only, so none from this host"
            hint = "test its jail in the place of the account: jailssh selftest JAIL"
    if len(found) == len(use.results):
        raise CannotTryError(f"account {use.account.name}", next(iter(found.values())), hint=hint)
    return found


@contextmanager
def changing(layout: Layout, subject: str, what: str, fault: Fault) -> Iterator[Journal]:
    """Give the undo journal ``subject`` of a selftest of ``what``; all that stands in it at the end is taken back."""
    with ExitStack() as stack:
        with fs.lock(layout.lock):
            journal = Journal(layout, subject, fault)
            if journal.owner is not None and journal.owner.is_alive():
                why = f"another selftest of it is in progress (process {journal.owner.pid})"
                raise CannotTryError(what, why, hint="wait for it to end")
            stack.enter_context(journal.changing(f"selftest of {what}"))
            # Known to others from here on: they do not begin a second one.
            journal.begin(f"selftest of {what}", f"jailssh recover {subject}")
        try:
            yield journal
        finally:
            with fs.lock(layout.lock):
                journal.rollback()
        fault("rollback: done")


def _all_rights(run: _Run) -> list[Report]:
    """Let a key in for each set of rights, and try each."""
    use = run.use
    serials = _serials(run) if use.ring.keys else {}
    keys = [(each, ClientKey.make(), serials[each.names[0]] if each.names else "") for each in run.holders]
    trial_key = [
        TrialKey(f"{trial_keys.PREFIX}{run.token}-{number}", key.blob, serial)
        for number, (_, key, serial) in enumerate(keys, 1)
    ]
    _let_in(run, trial_key)
    reports = []
    for holder, key, _ in keys:
        reports.append(_one(run, holder, key))
    _wait_for_the_end(run)
    return reports


def _wait_for_the_end(run: _Run) -> None:
    """Wait until sshd has ended the connections, and has taken away what it had told of them."""
    end = time.monotonic() + _ENDING
    while time.monotonic() < end:
        told = [path for path in glob.glob("/tmp/sshauth.*") if _is_told_of(run, path)]  # noqa: S108 - sshd's own place
        if not told and not set(accounts.processes_of(run.entry.uid)) - run.before:
            return
        time.sleep(0.05)


def _is_told_of(run: _Run, path: str) -> bool:
    with suppress(OSError):
        info = os.lstat(path)
        return info.st_uid == run.entry.uid and info.st_mtime >= run.wall
    return False


def _serials(run: _Run) -> dict[str, str]:
    plan = plan_files.readable_plan(run.layout, run.entry.uid)
    serials = plan_files.keys_of(plan)
    if missing := sorted(set(run.use.ring.keys) - set(serials)):
        why = f"its published plan lacks the keys {', '.join(missing[:5])}"
        raise CannotTryError(f"account {run.entry.name}", why, hint="jailssh apply")
    return serials


def _let_in(run: _Run, keys: Sequence[TrialKey]) -> None:
    layout, entry = run.layout, run.entry
    until = local_time(time.time() + run.how.lasts)
    options = f'from="{",".join(servers.sources(run.places))}",expiry-time="{until}"'
    inverse = UndoAction(Operation.TRIAL_KEY, entry.name, (layout.root, entry.uid, [key.blob for key in keys]))
    with fs.lock(layout.lock):
        run.journal.step("key", inverse, lambda: trial_keys.let_in(layout, entry.name, entry.uid, keys, options))


def local_time(moment: float, zone_file: str = "/etc/localtime") -> str:
    """Return a moment as sshd reads ``expiry-time`` (sshd(8)): in the host's time, whatever TZ says here."""
    zone: datetime.tzinfo = datetime.UTC
    with suppress(OSError, ValueError), open(zone_file, "rb") as file:
        zone = ZoneInfo.from_file(file)
    return f"{datetime.datetime.fromtimestamp(moment, zone):%Y%m%d%H%M%S}"


def _one(run: _Run, holder: Holder, key: ClientKey) -> Report:
    """Try everything with one set of rights."""
    results, names = run.use.results[holder], holder.names
    powers = Powers.of(results, network=holder.definition.config.network == Network.HOST)
    began = time.strftime("%Y-%m-%d %H:%M:%S")
    announced = holder.definition.trials(holder.account)
    ports = run.use.definition.ports()
    with Connection(run.places[0], run.entry.name, key) as connection:
        if ports:
            with _let_in_by(run):
                connection.transport()
            return _report(run, names, began, [*_without_session(run, connection, ports)], [])
        rows = [_first(run, connection, powers)]
        if rows[0].verdict == Verdict.OK:
            rows += [_sshd_row(run), _plan_row(run)]
            rows += _elsewhere(run, key, powers)
            trials = _trials(run, announced, powers)
            # Before the next connection: the process is copied for it, which is best done without threads.
            connection.close()
            places = _make_places(run, [trial for _, trial in trials])
            rows += silent(announced)
            rows += _try_each(run, connection, trials, places)
            rows += _around(run, connection, powers)
    return _report(run, names, began, rows, _notes(announced, powers))


def _report(run: _Run, names: Sequence[str], began: str, rows: Sequence[Row], notes: Sequence[str]) -> Report:
    where, told = str(run.places[0]), (*run.notes, *notes)
    return Report(run.entry.name, run.use.definition.name, ", ".join(names), where, began, tuple(rows), told)


def _without_session(run: _Run, connection: Connection, ports: Ports) -> Iterator[Row]:
    """Try an account for which sshd forwards ports and starts nothing."""
    what = "a login has no session: sshd starts nothing, not even the login program"
    answer = general.answered(lambda: without_session.session(connection))
    yield general.row("login", general.SSHD, what, "a session", "refusal", *answer)
    yield from (_sshd_row(run), _plan_row(run))
    with _sockets(run) as (ours, path):
        yield from without_session.rows(connection, ports, ours, path)


@contextmanager
def _let_in_by(run: _Run) -> Iterator[None]:
    """Say why sshd lets the account's key of this run not in."""
    try:
        yield
    except NotAuthenticatedError as error:
        why = servers.why_not(run.layout, run.entry, servers.effective(run.layout, run.entry.name))
        said = "; ".join(why) or "see why: journalctl -u ssh (PAM, AllowUsers, AllowGroups, PubkeyAcceptedAlgorithms)"
        raise CannotTryError(error.what, f"does not let {run.entry.name} in with a key", hint=said) from error


def _first(run: _Run, connection: Connection, powers: Powers) -> Row:
    """Log in once: is it the login program that answers?"""
    with _let_in_by(run):
        ran = connection.run(general.NOBODY)
    verdict, happened = general.first_login(ran, powers)
    expected = "exit 127 from the jail's shell" if powers.free else "exit 126 from the login program"
    what = "a login ends in the jail, where a command that nobody has is denied"
    return Row("login", general.JAILSSH, Kind.STATE, what, general.NOBODY, expected, happened, verdict)


def _sshd_row(run: _Run) -> Row:
    """Ask sshd what its configuration on disk says: logins alone do not tell who forced what on them."""
    name, by_group = run.entry.name, GROUP not in {name for name, _ in run.entry.groups}
    happened, verdict = "it does", Verdict.OK
    try:
        sshd.check_forced(servers.effective(run.layout, name), run.layout, name, home_keys=by_group)
    except JailsshError as error:
        happened, verdict = shown(error.why), Verdict.WRONG
    what = "sshd's configuration forces the login program on the account and forwards nothing of this host"
    return Row("sshd", general.SSHD, Kind.STATE, what, f"sshd -T -C user={name}", "it does", happened, verdict)


def _plan_row(run: _Run) -> Row:
    """Compare the published plan with what the configuration says."""
    old = plan_files.published(run.layout, run.entry.uid)
    image = current_image(run.layout, run.use.definition.name)
    lines = ["it is missing"]
    if old is not None and image is not None:
        lines = difference(_without_trial_keys(old), run.use.compile(run.configuration.main, image))
    happened = shown("; ".join(line.strip() for line in lines)) or "they are the same"
    verdict = Verdict.WRONG if lines else Verdict.OK
    what = "the published plan is what the configuration says"
    return Row("plan", general.JAILSSH, Kind.STATE, what, "comparison", "no difference", happened, verdict)


def _without_trial_keys(old: plan_files.AccountPlans) -> plan_files.AccountPlans:
    left = [r for r in old.plan.records if r.verb != "key" or not r.args[0].startswith(trial_keys.PREFIX)]
    return replace(old, plan=replace(old.plan, records=tuple(left)))


def _elsewhere(run: _Run, key: ClientKey, powers: Powers) -> Iterator[Row]:
    """Log in once at every other address and port at which this sshd listens."""
    for place in run.places[1:]:
        what = f"a login at {place} ends in the jail too"
        try:
            with Connection(place, run.entry.name, key) as other:
                verdict, happened = general.first_login(other.run(general.NOBODY), powers)
        except CannotTryError as error:
            verdict, happened = Verdict.NOT_TRIED, shown(str(error))
        id = f"login.{place.port}" if place.address == "127.0.0.1" else f"login.{place.address}.{place.port}"
        yield Row(id, general.JAILSSH, Kind.STATE, what, general.NOBODY, "denial", happened, verdict)


def _trials(run: _Run, announced: Mapping[str, tuple[Trial, ...] | None], powers: Powers) -> list[tuple[str, Trial]]:
    """Return what is to be tried, each with its source."""
    found = [(plugin, trial) for plugin, trials in announced.items() for trial in trials or ()]
    # Where any command may be run there is no allow-list to get round.
    found = [(plugin, trial) for plugin, trial in found if not (powers.free and _is_of_allow_list(trial))]
    uses = [trial for _, trial in found if not trial.attack]
    return [*found, *((general.JAILSSH, trial) for trial in general.commands(powers, uses, run.places[0].port))]


def silent(announced: Mapping[str, tuple[Trial, ...] | None]) -> Iterator[Row]:
    """Yield a row for each plugin that announces nothing: what it is for is not proved."""
    for plugin, trials in announced.items():
        if trials is None:
            why = "not tried: the plugin has no method trials"
            yield Row(f"{plugin}.uses", plugin, Kind.USE, "what the plugin is for", "nothing", "its uses", why,
                      Verdict.NOT_TRIED)  # fmt: skip


def _is_of_allow_list(trial: Trial) -> bool:
    return trial.attack and not trial.steps and trial.exits == DENIED


def _notes(announced: Mapping[str, tuple[Trial, ...] | None], powers: Powers) -> list[str]:
    notes = []
    for plugin, trials in announced.items():
        if trials is not None and not any(not trial.attack for trial in trials):
            notes.append(f"plugin {plugin} announces no use that can be tried without harm")
    if powers.free:
        notes.append("any command may be run in this jail, so the jail alone is the border, not the allow-list")
    return notes


def _make_places(run: _Run, trials: Collection[Trial]) -> Places:
    """Make the throw-away directories that the trials need; the reason in the place of one that cannot be made."""
    files: dict[tuple[str, bool], dict[str, bytes]] = {}
    for trial in trials:
        if trial.place:
            wanted = files.setdefault((trial.place, trial.visible), {})
            wanted.update((name, content.encode()) for name, content in trial.files)
    found = {}
    for (place, visible), content in files.items():
        name = f"{'' if visible else '.'}jailssh-selftest.{run.token}{secrets.token_hex(2)}"
        path = f"{place.rstrip('/')}/{name}"
        above = run.use.definition.on_host(run.use.account, place)
        inverse = UndoAction(Operation.TRIAL_FILES, f"{above.rstrip('/')}/{name}", (run.entry.name, run.entry.uid))
        why: list[str] = []

        def make(
            place: str = above, name: str = name, content: Mapping[str, bytes] = content, why: list[str] = why
        ) -> None:
            why.append(as_user.make_tree(run.entry, place, name, list(content.items())))

        try:
            run.journal.step("directory", inverse, make)
        except JailsshError as error:
            if error.exit_code > 128:
                raise
            why.append(error.why)
        found[place, visible] = path if not any(why) else f"\0{place}: {''.join(why)}"
    return found


def _try_each(run: _Run, connection: Connection, trials: Sequence[tuple[str, Trial]], places: Places) -> Iterator[Row]:
    needed = {path for _, trial in trials for path in trial.needs}
    there = {path for path in needed if as_user.first_of(run.entry, [path])}
    for source, trial in trials:
        run.journal.heed()
        run.how.fault(f"trial: {trial.id}")
        place = places.get((trial.place, trial.visible), "")
        words = Words(place, run.token)
        why = place.removeprefix("\0") if place.startswith("\0") else ""
        if why and trial.attack and trial.exits == DENIED:
            # It is denied for its words, whatever is there.
            words, why = Words(trial.place, run.token), ""
        if not why and trial.needs and not there & set(trial.needs):
            why = f"{' or '.join(trial.needs)} does not exist"
        why = "the time is over" if run.late else why
        if why:
            yield trying.row_of(words.trial(trial), source, Verdict.NOT_TRIED, f"not tried: {why}")
            continue
        filled = words.trial(trial)
        row = trying.run(connection, filled, source)
        if row.verdict == Verdict.WRONG:
            trying.clean_up(connection, filled)
        yield row


@contextmanager
def _sockets(run: _Run) -> Iterator[tuple[str, str]]:
    """Give the path of a Unix socket that takes connections, and one where none may come to be."""
    run.journal.heed()
    path = Words("", run.token)(general.socket_of_this_run())
    inverse = UndoAction(Operation.TRIAL_FILES, path, (run.entry.name, run.entry.uid))
    run.journal.step("socket", inverse, lambda: None)
    ours = f"{run.layout.run}-selftest.{run.token}{secrets.token_hex(2)}"
    listening: list[socket.socket] = []

    def listen() -> None:
        listening.append(sockets.listen_at(ours, 0o666, backlog=4))

    run.journal.step("socket", UndoAction(Operation.FILE, ours, (None, 0)), listen)
    with listening[0]:
        yield ours, path


def _around(run: _Run, connection: Connection, powers: Powers) -> Iterator[Row]:
    with _sockets(run) as (ours, path):
        forwards = accounts.is_listed_member(run.entry.name, sshd.FORWARD_GROUP)
        yield from general.around(connection, powers, ours, path, forwards=forwards)
    values = servers.effective(run.layout, run.entry.name)
    yield from general.subsystems(connection, powers, [line.split()[0] for line in values.get("subsystem", ())])
