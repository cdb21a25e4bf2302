"""Put many accounts into jails in one change: all are judged first, then all are done or none.

Each account has its own undo journal, as with one; the files of local accounts are rewritten once for all of them.
What confines comes before what lets in here too.  One that is killed leaves accounts that are each settled alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, field, replace

from jailssh.change import home_move, transaction, undo
from jailssh.change.signals import held_signals
from jailssh.change.transaction import Fault, Journal, no_fault
from jailssh.change.undo import Operation, UndoAction
from jailssh.config.home_keys import HomeKeys
from jailssh.core.errors import JailsshError, UsageError, parts, raise_all
from jailssh.core.names import check_account_name
from jailssh.files import fs, homes
from jailssh.host import accounts, install
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.jail.this_host import THIS_HOST, ThisHost
from jailssh.plan.view import check_home
from jailssh.services import shadow, sshd, sshd_matches
from jailssh.services.shadow import NewAccount
from jailssh.setup import home_keys, looks, pam, running
from jailssh.setup.looks import OutsideJail
from jailssh.setup.setup import GROUP
from jailssh.users import adduser, aside, checks, gone, settling
from jailssh.users.adduser import AccountStep, AddUserOptions, Confirm, Outcome, Publishing
from jailssh.users.covers import make_ahead_each
from jailssh.users.numbers import Numbers

Progress = Callable[[int, int], None]
"""Called with how many accounts are done and how many there are."""
Counting = Callable[[], ThisHost | None]
"""Returns who answers for the accounts of this host as they are now; None: the name service is asked for each."""


def no_progress(_done: int, _all: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Added:
    """What became of one account."""

    name: str
    outcome: Outcome


@dataclass
class _Case:
    """One account: what is wanted, what was found, and its journal."""

    wish: AddUserOptions
    entry: AccountEntry
    journal: Journal
    _: KW_ONLY
    facts: checks.AccountFacts | None
    own: HomeKeys
    shared: bool
    standing: Sequence[OutsideJail]
    lines: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    taken: home_keys.Taken = field(default_factory=lambda: home_keys.Taken("", ()))
    ability: str = ""
    before: Sequence[AccountStep] = ()
    after: Sequence[AccountStep] = ()
    shut_out: Sequence[str] = ()
    """The note where sshd lets it in from nowhere."""
    was: str = ""
    """The home directory that it has until now, where it gets another one."""

    @property
    def jailed(self) -> bool:
        """True if it is in a jail already."""
        return self.facts is not None and self.facts.jailed


def add_many(
    layout: Layout,
    wishes: Sequence[AddUserOptions],
    publisher: Publishing,
    confirm: Confirm,
    fault: Fault = no_fault,
    progress: Progress = no_progress,
    counting: Counting = lambda: None,
) -> list[Added]:
    """Put the accounts into their jails; all errors of all of them are raised before the first change.

    A failure or a signal later takes everything back.  ``counting``: for judging them.
    """
    _check_names(wishes)
    adduser.require_setup(layout, publisher.groups)
    with fs.lock(layout.lock):
        owed = running.settle_owed(layout)
        cases = _judged(layout, wishes, publisher, counting)
        _ask(cases, confirm)
        for jails in sorted({case.wish.jails for case in cases if not case.wish.on_demand}):
            publisher.make_image(jails)
        with _changing(cases) as look:
            _Batch(layout, cases, publisher, fault, progress, look).run()
        for case in cases:
            adduser.forget_canary(layout, case.wish.name)
            if case.facts is not None or case.shared:
                publisher.tidy(case.entry.uid)
    cases[0].lines[:0] = owed
    covers = make_ahead_each(layout, [case.entry for case in cases])
    return [_added(layout, case, publisher, covers[case.wish.name]) for case in cases]


def judge(
    layout: Layout, wishes: Sequence[AddUserOptions], publisher: Publishing, counting: Counting = lambda: None
) -> None:
    """Raise whatever :func:`add_many` would raise before its first change."""
    _check_names(wishes)
    adduser.require_setup(layout, publisher.groups)
    with fs.lock(layout.lock):
        _judged(layout, wishes, publisher, counting)


def add_within(
    layout: Layout,
    wishes: Sequence[AddUserOptions],
    publisher: Publishing,
    *,
    leader: str,
    then: Callable[[Callable[[], None]], None],
    fault: Fault = no_fault,
) -> None:
    """Do what :func:`add_many` does as a part of a change that holds the lock of the set-up and has asked already.

    ``leader``: the subject of that change.  ``then`` does the rest of it and decides it, before the accounts are final:
    its error or a signal takes all back.  It is called with what raises for a signal that has come.
    """
    _check_names(wishes)
    cases = _judged(layout, wishes, publisher)
    with _changing(cases) as look:
        _Batch(layout, cases, publisher, fault, no_progress, look, leader, then).run()
    for case in cases:
        publisher.tidy(case.entry.uid)


def _check_names(wishes: Sequence[AddUserOptions]) -> None:
    errors: list[JailsshError] = []
    seen: set[str] = set()
    uids: dict[int, str] = {}
    home_of: dict[str, str] = {}
    for wish in wishes:
        try:
            check_account_name(wish.name)
            if wish.name in seen:
                raise UsageError(f"account {wish.name}", "is named twice")
            if wish.uid is not None and (other := uids.setdefault(wish.uid, wish.name)) != wish.name:
                raise UsageError(f"uid {wish.uid} of {wish.name}", f"is also wanted for {other}")
            home = wish.home or f"/home/{wish.name}"
            if (other := home_of.setdefault(home, wish.name)) != wish.name:
                raise UsageError(f"home {home} of {wish.name}", f"is also wanted for {other}")
        except JailsshError as error:
            errors += _placed(wish, error)
        seen.add(wish.name)
    raise_all(errors)


def _judged(
    layout: Layout, wishes: Sequence[AddUserOptions], publisher: Publishing, counting: Counting = lambda: None
) -> list[_Case]:
    """Return the cases; raises every reason against any of them.  Nothing that lets in is left of older accounts."""
    errors: list[JailsshError] = []
    cases: list[_Case] = []
    for jails, wish in {wish.jails: wish for wish in reversed(wishes)}.items():
        try:
            publisher.check(jails)
        except JailsshError as error:
            errors += _placed(wish, error)
    settling.renames(layout, (wish.name for wish in wishes))
    planned = gone.planned_names(layout)
    # First, since it gives numbers back.
    settled = {wish.name: transaction.recover(layout, adduser.subject(wish.name)) for wish in wishes}
    host = counting() or THIS_HOST
    numbers = Numbers(host, (wish.uid for wish in wishes if wish.uid is not None))
    for wish in wishes:
        try:
            case = _judge(layout, wish, publisher, planned, numbers, host)
            case.lines[:0] = settled[wish.name]
            cases.append(case)
        except JailsshError as error:
            errors += _placed(wish, error)
    raise_all(errors)
    return cases


def _placed(wish: AddUserOptions, error: JailsshError) -> list[JailsshError]:
    """Return the errors with the place of what asked for the account."""
    found = parts(error)
    for each in found:
        if wish.where and not each.what.startswith(wish.where):
            each.what = f"{wish.where}: {each.what}"
    return found


def _judge(
    layout: Layout,
    wish: AddUserOptions,
    publisher: Publishing,
    planned: dict[str, list[int]],
    numbers: Numbers,
    host: ThisHost,
) -> _Case:
    subject = adduser.subject(wish.name)
    entry = host.find_entry(wish.name)
    lines = gone.set_aside_other(layout, wish.name, entry, planned)
    home = (wish.home or f"/home/{wish.name}") if entry is None else entry.home
    facts = None
    if entry is None:
        checks.check_new(wish.name, home, uid=wish.uid, gecos=wish.gecos, host=host)
    else:
        home = wish.home_for(entry)
        facts = adduser.check_existing(layout, wish, entry, publisher)
    check_home(home)
    ring = publisher.keyring(wish.name)
    adduser.check_keys(wish, shared=ring.shared)
    own = adduser.own_keys(layout, wish, entry, shared=ring.shared)
    jailed = facts is not None and facts.jailed
    standing = (
        looks.look(adduser.at_path(wish, entry), pam.inside_of(layout)) if entry is not None and not jailed else []
    )
    was = ""
    if entry is not None and entry.home != home:
        entry, was = replace(entry, home=home), entry.home
    if entry is None:
        uid = numbers.next() if wish.uid is None else wish.uid
        gid = uid if wish.gid is None else wish.gid
        group = wish.group or wish.name
        entry = AccountEntry(
            wish.name,
            uid,
            gid,
            group=group,
            home=home,
            shell=layout.login_program,
            gecos=wish.gecos,
            groups=((group, gid),),
        )
    journal = Journal(layout, subject)
    return _Case(
        wish, entry, journal, facts=facts, own=own, shared=ring.shared, standing=standing, lines=lines, was=was
    )


def _ask(cases: Sequence[_Case], confirm: Confirm) -> None:
    asked = [case for case in cases if case.facts is not None and not case.facts.jailed]
    if not asked:
        return
    found = "".join(f"{case.wish.name}: {each.says}\n" for case in asked for each in case.standing)
    names = ", ".join(case.wish.name for case in asked[:10]) + (f" and {len(asked) - 10} more" if asked[10:] else "")
    which = f"account {names}" if len(asked) == 1 else f"accounts {names}"
    if not confirm(f"{found}Put the existing {which} into a jail?"):
        raise JailsshError("adduser", "aborted; nothing changed")


@contextmanager
def _changing(cases: Sequence[_Case]) -> Iterator[Callable[[], None]]:
    """Make the changes of all cases: signals wait for the end of a step, an error or a signal takes back all."""
    with held_signals() as look:
        try:
            yield look
        except BaseException as error:
            left = []
            for case in reversed(cases):
                try:
                    case.journal.rollback()
                except (JailsshError, OSError) as second:
                    left.append(f"{case.wish.name}: {second}")
            if left:
                why = f"{error}; the rollback failed too: {'; '.join(left[:5])}"
                raise JailsshError("adduser", why, hint="jailssh recover") from error
            raise


class _Batch:
    def __init__(
        self,
        layout: Layout,
        cases: Sequence[_Case],
        publisher: Publishing,
        fault: Fault,
        progress: Progress,
        look: Callable[[], None],
        leader: str = "",
        then: Callable[[Callable[[], None]], None] = lambda _look: None,
    ) -> None:
        self._layout, self._cases, self._publisher = layout, cases, publisher
        self._fault, self._progress, self._look, self._leader, self._then = fault, progress, look, leader, then

    def run(self) -> None:
        """Make all changes; what is called first gives nobody more than before."""
        for case in self._cases:
            self._note_first(case)
        self._fault("accounts: noted")
        self._look()
        self._move_homes()
        self._confine()
        self._fault("accounts: done")
        self._check_sshd()
        for at, case in enumerate(self._cases):
            self._look()
            self._publish(case)
            self._progress(at, len(self._cases))
        self._shells_and_passwords()
        for case in self._cases:
            self._look()
            self._open_up(case)
        self._then(self._look)
        for case in self._cases:
            self._end(case)
        self._progress(len(self._cases), len(self._cases))

    def _note_first(self, case: _Case) -> None:
        wish, entry, journal = case.wish, case.entry, case.journal
        again = f"jailssh adduser {wish.name} --jail {','.join(wish.jails)}"
        journal.open(f"adduser {wish.name}", again, self._leader)
        steps = []
        if case.facts is None:
            made = undo.created(wish.name, self._layout.login_program, GROUP)
            steps.append(_noted(replace(made, args=(entry.uid, *made.args[1:])), "account", confines=True))
            case.changed.append("account")
        if case.was:
            if wish.home_move:
                was = replace(entry, home=case.was)
                steps.append(_noted(undo.move_home_back(was, entry.home), "home", confines=True))
            else:
                args = (entry.uid, case.was, entry.home)
                steps.append(_noted(UndoAction(Operation.HOME_PATH, wish.name, args), "home directory"))
            case.changed.append("home")
        before = adduser.steps_before(self._layout, wish, entry, jailed=case.jailed)
        steps += [_noted(step.inverse, step.point, confines=step.confines) for step in before if case.facts is not None
                  or step.inverse.op != Operation.MEMBER]  # fmt: skip
        steps.append(_noted(undo.put_plan_back(f"{self._layout.plans}/{entry.uid}"), "plan"))
        case.before = before
        journal.uid = entry.uid
        journal.note(steps)
        self._fault("account: noted")

    def _move_homes(self) -> None:
        for case in self._cases:
            if case.was and case.wish.home_move:
                was = replace(case.entry, home=case.was)
                case.lines += home_move.forward(was, case.entry.home, self._look)
                self._fault("home: done")

    def _confine(self) -> None:
        """Write the users files, create the accounts and make all members of the group that sshd confines."""
        new = [case for case in self._cases if case.facts is None]
        joining = any(step.inverse.op == Operation.MEMBER for case in self._cases for step in case.before)
        for case in self._cases:
            if case.facts is not None:
                case.changed += [step.point for step in case.before]
                self._write_users_file(case)
        moving = [case for case in self._cases if case.was and not case.wish.home_move]
        if joining or moving or new:
            with shadow.opened() as files:
                for case in moving:
                    files.set_home(case.wish.name, case.entry.home)
                for case in new:
                    files.add(_line(case, self._layout.login_program))
                # All of them: who is a member by group(5) may not be one by gshadow(5), after an interruption.
                files.add_members([case.wish.name for case in self._cases], GROUP)
        self._fault("passwd: done")
        gid = accounts.group_id(GROUP)
        for case in new:
            self._look()
            homes.make(case.entry.home, case.entry.uid, case.entry.gid)
            # What has a users file and no account is taken for one that is gone.
            self._write_users_file(case)
        for case in self._cases:
            if gid is not None and (GROUP, gid) not in case.entry.groups:
                case.entry = replace(case.entry, groups=(*case.entry.groups, (GROUP, gid)))
            present = authorized_keys.present(self._layout, case.wish.name)
            case.taken = home_keys.take(case.own, present, self._layout, case.wish.key_choice)
            aside.set_aside(case.journal, case.entry, case.standing if case.wish.disable else ())

    def _write_users_file(self, case: _Case) -> None:
        for step in case.before:
            if step.inverse.op != Operation.MEMBER:
                step.act()
                self._fault(f"{step.point}: done")

    def _check_sshd(self) -> None:
        """Ask sshd, once for each case that it tells apart, whether the forced command holds."""
        matches = sshd_matches.lines(self._layout)
        answers: dict[tuple[object, ...], dict[str, list[str]]] = {}
        for case in self._cases:
            name, names = case.wish.name, {name for name, _ in case.entry.groups}
            kind = sshd_matches.case_of(name, names, matches)
            if kind not in answers:
                answers[kind] = sshd.effective(name, sshd.main_config(self._layout))
                sshd.check_forced(answers[kind], self._layout, name)
            case.shut_out = adduser.kept_out(answers[kind], case.entry)

    def _publish(self, case: _Case) -> None:
        plan = f"{self._layout.plans}/{case.entry.uid}"
        before = install.read_optional(plan)
        # On demand: an older plan, of another jail, must not be what the next login gets.
        if case.wish.on_demand:
            self._publisher.withdraw(case.entry.uid)
        else:
            case.ability = self._publisher.publish(case.entry)
        if install.read_optional(plan) != before:
            case.changed.append("plan")
        self._fault("plan: done")

    def _shells_and_passwords(self) -> None:
        """Note and make what comes after the plans; shells in one rewrite, then what lets somebody in."""
        for case in self._cases:
            case.after = adduser.steps_after(
                self._layout, case.wish, case.entry, self._publisher, case.taken.text, new=case.facts is None
            )
            if case.after:
                case.journal.note(_noted(step.inverse, step.point, confines=step.confines) for step in case.after)
        self._fault("logins: noted")
        shells, passwords = (
            [case for case in self._cases if any(step.inverse.op == op for step in case.after)]
            for op in (Operation.SHELL, Operation.HASH)
        )
        if shells or passwords:
            with shadow.opened() as files:
                for case in shells:
                    files.set_shell(case.wish.name, self._layout.login_program)
                for case in passwords:
                    files.set_password(case.wish.name, case.wish.password)
        self._fault("logins: done")

    def _open_up(self, case: _Case) -> None:
        for step in case.after:
            if step.inverse.op not in (Operation.SHELL, Operation.HASH):
                step.act()
                self._fault(f"{step.point}: done")
            case.changed.append(step.point)

    def _end(self, case: _Case) -> None:
        if case.facts is None:
            made = case.journal.steps[0]
            case.journal.steps[0] = replace(undo.as_created(made, case.entry), point=made.point, confines=True)
        case.journal.commit()
        self._fault("commit: done")


def _noted(inverse: UndoAction, point: str, *, confines: bool = False) -> UndoAction:
    return replace(inverse, point=point, confines=confines)


def _line(case: _Case, login_program: str) -> NewAccount:
    entry = case.entry
    return NewAccount(
        entry.name,
        entry.uid,
        entry.gid,
        home=entry.home,
        shell=login_program,
        gecos=entry.gecos,
        expires=case.wish.expires,
        own_group=entry.group == entry.name,
    )


def _added(layout: Layout, case: _Case, publisher: Publishing, covers: Sequence[str]) -> Added:
    wish = case.wish
    lines = [*case.lines]
    lines += adduser.report(layout, wish, case.entry, case.facts, case.changed, case.ability)
    standing = looks.lines(case.standing, aside=wish.disable)
    lines += [*case.taken.lines, *standing, *covers]
    if case.facts is None and not wish.keys and not wish.password and not case.shared:
        lines.append(adduser.no_key(wish.name, rights=publisher.has_rights(wish.jails)))
    return Added(wish.name, Outcome((*lines, *case.shut_out), bool(case.changed)))
