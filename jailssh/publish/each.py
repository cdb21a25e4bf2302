"""Every account that has a file or a plan: what publishing would change, and publishing.

Thousands are divided among processes (:func:`jailssh.files.shares.divide`): each has a part of them, and what it does
for one account it does as ``jailsshd`` would beside this command, under the locks of that account's files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from jailssh.closure.errors import NoJailError
from jailssh.core.closed import Word
from jailssh.core.errors import JailsshError, ManyErrors, as_plain, distinct, from_plain, parts, raise_all
from jailssh.core.names import HostPath
from jailssh.core.tries import Tries
from jailssh.files import several, shares
from jailssh.host.accounts import UnansweredError
from jailssh.image.store import current_image, new_host
from jailssh.jail.bounds import slice_properties
from jailssh.jail.configuration import Configuration, NoKeysError, NotJailedError
from jailssh.jail.steady import steady
from jailssh.plugin.api import Account
from jailssh.publish import key_rings, keys_wanted, plan_files, quotas
from jailssh.publish.account_plan import InForce, Use, difference
from jailssh.publish.images import Images, prune_images
from jailssh.publish.publish import PlanChange, publish_plan, withdraw_plan
from jailssh.services import slices


class _Said(Word):
    """What a row says: a change, an error, what is wrong with an account, that it is simple, what was seen of it."""

    CHANGE = "change"
    ERROR = "error"
    WRONG = "wrong"
    DONE = "done"
    SEEN = "seen"


class Look(Protocol):
    """Looks at accounts that were judged and are right, and keeps what is to be said of them."""

    def __call__(self, configuration: Configuration, name: str) -> object:
        """Return what :meth:`take` is given, by whichever process; plain data (JSON)."""

    def take(self, name: str, told: Any) -> None:
        """Keep what was seen."""


def changes(
    configuration: Configuration, wrong: Collection[str] = (), errors: list[JailsshError] | None = None
) -> list[PlanChange]:
    """Return what :func:`publish_each` would change, as far as it shows without building an image.

    ``errors`` of single accounts are added to; without it they are raised.
    """
    layout = configuration.layout
    found: list[PlanChange] = []
    given, errors = errors, [] if errors is None else errors

    def look(part: Sequence[Account | int]) -> Iterator[shares.Row]:
        for account in part:
            if isinstance(account, int):
                old = plan_files.published(layout, account)
                yield _row(PlanChange(account, old.plan.name if old else "", "", ("- the plan",)))
                continue
            try:
                if account.name not in wrong and (change := pending(configuration, account)):
                    yield _row(change)
            except JailsshError as error:
                yield from _rows_of(error)

    take = _Taking(found, errors)
    shares.divide(_accounts(configuration, errors), lambda part: _shortened(look(part)), take, "looked at accounts")
    if given is None:
        raise_all(errors)
    return found


def pending(configuration: Configuration, account: Account) -> PlanChange | None:
    """Return what :func:`publish_each` would change for one account, None for nothing."""
    layout = configuration.layout
    old = plan_files.Before(layout, account.uid)
    try:
        use = Use.of(configuration, account)
    except NotJailedError:
        return PlanChange(account.uid, account.name, "", ("- the plan",))
    except NoKeysError:
        return PlanChange(account.uid, account.name, "", ("- the plan",)) if old.plans() else None
    image = current_image(layout, use.definition.name) or HostPath(f"{layout.images}/.pool/new")
    made = use.compile(configuration.main, image)
    lines = [*difference(old.plans(made), made), *keys_wanted.change(configuration, account, use)]
    lines += slices.difference(layout, account.uid, slice_properties(use.definition.config))
    lines += quotas.difference(layout, use.quota(made))
    return PlanChange(account.uid, account.name, use.definition.name, tuple(lines)) if lines else None


def withdraw_gone(
    configuration: Configuration, errors: list[JailsshError], right: Collection[int] = ()
) -> list[PlanChange]:
    """Withdraw the plans of accounts that are in no jail any more, or in one that is not there any more.

    Returns what changed; what fails is added to ``errors``.  ``right``: uids of accounts in jails, which are not
    looked at.
    """
    layout = configuration.layout
    found = []
    tries = Tries()
    shared = plan_files.uids_of_keys(layout)
    for uid in sorted(set(plan_files.planned_uids(layout)).difference(right)):
        account = tries(f"uid {uid}", partial(configuration.host.find_account, uid))
        if account is None:
            continue  # the others tell what becomes of accounts that are gone
        try:
            configuration.jails_for(account)
        except JailsshError as error:
            each = error.errors if isinstance(error, ManyErrors) else [error]
            if not all(isinstance(one, NotJailedError | NoJailError) for one in each):
                continue  # publishing tells it, and leaves its plan as it is
            old = plan_files.published(layout, uid)
            tries(f"plan of {account.name}", partial(withdraw_plan, layout, uid, tidy=uid in shared))
            found.append(PlanChange(uid, old.plan.name if old else account.name, "", ("- the plan",)))
    errors += tries.errors
    return found


def publish_each(
    configuration: Configuration,
    found: list[PlanChange],
    wrong: dict[str, list[JailsshError]] | None = None,
    right: Mapping[str, InForce] | None = None,
    done: dict[str, int] | None = None,
    look: Look | None = None,
) -> list[JailsshError]:
    """Publish the plan of every account that has a file or a plan, withdraw plans of accounts in no jail, prune images.

    What is taken away goes first.  Returns the errors; what changed is added to ``found``, also where an error stops
    the rest.  An account's error does not stop the others: its plan stays as it is, unless its jail is not there any
    more.  Nobody is taken for gone whom the name service cannot tell.

    ``wrong`` gets by name what :meth:`Configuration.errors_of` says of an account beside that, just before its plan
    would be made: what its files say is read once, and its plan is compiled once.  Without it nobody is judged.

    ``right``: accounts that have the plan that they would get, by name; they are looked at if their image is not up to
    date.  ``done`` gets the uids of those, by name, who have no named keys and were published without a note.
    ``look`` is called for each account that was judged and is right, while all that is known of it is remembered.
    """
    configuration = steady(configuration, configuration.host)
    images = Images(configuration.layout, 3600, new_host(configuration.layout))
    errors: list[JailsshError] = []
    judged = set(right or ())
    right = _with_their_images(configuration, images, right or {})
    found += withdraw_gone(configuration, errors, {each.uid for each in right.values()})
    named: set[str] = set() if wrong is None else {*configuration.user_names(), *configuration.shared_names()}
    accounts = _accounts(configuration, errors, right)
    publishing = _Publishing(
        configuration,
        images,
        shared=plan_files.uids_of_keys(configuration.layout),
        withdrawn=frozenset(change.uid for change in found),
        named=frozenset(named),
        judged=frozenset(judged),
        look=look,
    )
    take = _Taking(found, errors, wrong, done, look)
    try:
        shares.divide(accounts, lambda part: _shortened(publishing.run(part)), take, "published plans")
    finally:
        # Once for all of them, before anybody is told.
        several.settle(configuration.layout.owners)
        several.settle(configuration.layout.plans)
    names = {account.name for account in accounts if not isinstance(account, int)}
    for name in sorted(named - judged - names):
        for row in publishing.judge(name):
            take(row)
    tries = Tries()
    tries("images", partial(prune_images, configuration))
    return distinct([*errors, *tries.errors])


def _must_be_jailed(configuration: Configuration, account: Account) -> None:
    """Raise :class:`NotJailedError` for an account that has left its jails meanwhile: its plan goes."""
    try:
        configuration.jails_for(account)
    except NotJailedError:
        raise
    except JailsshError:
        return  # told already


def _with_their_images(
    configuration: Configuration, images: Images, right: Mapping[str, InForce]
) -> dict[str, InForce]:
    """Bring the images of these accounts up to date; return those accounts whose image was."""
    current = set()
    for jails in sorted({each.jails for each in right.values()}):
        # What is wrong with an image is told for each account that is published.
        with suppress(JailsshError, OSError):
            definition = configuration.definition(jails)
            before = current_image(configuration.layout, definition.name)
            if images.ensure(definition).path == before:
                current.add(jails)
    return {name: each for name, each in right.items() if each.jails in current}


@dataclass(frozen=True)
class _Done:
    """What publishing did to one account; ``simple``: it has no named keys, and there was nothing to note."""

    change: PlanChange | None
    simple: bool


def _publish_one(
    configuration: Configuration,
    account: Account,
    images: Images,
    old: plan_files.Before,
    shared: Collection[int],
) -> _Done:
    """Publish an account's plan and, if it is shared, its keys file: keys that go first, keys that come last.

    ``shared``: the uids of accounts for whose keys there were plans.
    """
    key_rings.revoke(configuration.layout, account.name, account.uid)
    use = Use.of(configuration, account)
    lines = keys_wanted.change(configuration, account, use)
    lines += slices.difference(configuration.layout, account.uid, slice_properties(use.definition.config))
    done = publish_plan(configuration, account, images, use, settle=False)
    if account.uid in shared or done.of_keys:
        plan_files.tidy(plan_files.plan_file(configuration.layout, account.uid), configuration.layout.root)
    if done.of_keys:
        configuration.forget()
    keys_wanted.widen(configuration, account, use)
    is_new = done.changed or old.is_roster or bool(done.of_keys)
    now = plan_files.AccountPlans(done.plan, done.of_keys)
    lines = [*(difference(old.plans(now), now) if is_new else ()), *lines, *done.limited]
    notes = (done.note,) if done.note else ()
    change = PlanChange(account.uid, account.name, done.jail, tuple(lines), notes) if lines or notes else None
    return _Done(change, simple=not done.note and not done.of_keys)


def _row(change: PlanChange) -> shares.Row:
    return [_Said.CHANGE, change.uid, change.name, change.jail, [*change.lines], [*change.notes]]


def _shortened(rows: Iterator[shares.Row]) -> Iterator[shares.Row]:
    """Yield the rows; a line that the change before in that jail has, too, is its place there.

    Most lines are those of every other account in the jail; all are kept until they are told, and each once.
    """
    before: dict[str, dict[str, int]] = {}
    for row in rows:
        if row[0] == _Said.CHANGE:
            known, lines = before.get(row[3], {}), row[4]
            before[row[3]] = {line: place for place, line in enumerate(lines)}
            row[4] = [known.get(line, line) for line in lines]
        yield row


def _rows_of(error: JailsshError) -> Iterator[shares.Row]:
    for each in parts(error):
        yield [_Said.ERROR, as_plain(each)]


class _Taking:
    """Takes rows as any process tells them: changes, errors, what is wrong with accounts, what was seen of them."""

    def __init__(
        self,
        found: list[PlanChange],
        errors: list[JailsshError],
        wrong: dict[str, list[JailsshError]] | None = None,
        done: dict[str, int] | None = None,
        look: Look | None = None,
    ) -> None:
        self._found, self._errors = found, errors
        self._wrong = {} if wrong is None else wrong
        self._done = {} if done is None else done
        self._look = look
        self._lines: dict[str, tuple[str, ...]] = {}

    def __call__(self, row: shares.Row) -> None:
        kind, *what = row
        if kind == _Said.CHANGE:
            uid, name, jail, lines, notes = what
            self._found.append(PlanChange(uid, name, jail, self._whole(jail, lines), tuple(notes)))
        elif kind == _Said.ERROR:
            self._errors.append(from_plain(what[0]))
        elif kind == _Said.WRONG:
            self._wrong[what[0]] = [from_plain(each) for each in what[1]]
        elif kind == _Said.DONE:
            self._done[what[0]] = what[1]
        elif self._look:
            self._look.take(*what)

    def _whole(self, jail: str, lines: Sequence[str | int]) -> tuple[str, ...]:
        before = self._lines.get(jail, ())
        self._lines[jail] = whole = tuple([before[line] if isinstance(line, int) else line for line in lines])
        return whole


@dataclass(frozen=True)
class _Publishing:
    """Publishes parts of all accounts: ``named`` have a file or named keys, and are judged unless they are ``judged``.

    ``shared``: the uids of accounts for whose keys there were plans.  ``withdrawn``: of those whose change is told.
    """

    configuration: Configuration
    images: Images
    shared: Collection[int]
    withdrawn: Collection[int]
    named: Collection[str]
    judged: Collection[str]
    look: Look | None

    def run(self, part: Sequence[Account | int]) -> Iterator[shares.Row]:
        """Publish the plans of a part, and yield what :class:`_Taking` takes."""
        for account in part:
            uid = account if isinstance(account, int) else account.uid
            self.configuration.forget()
            try:
                yield from self._one(account, uid)
            except JailsshError as error:
                yield from _rows_of(error)
            except OSError as error:
                yield from _rows_of(JailsshError(f"plan of uid {uid}", str(error)))

    def judge(self, name: str) -> Iterator[shares.Row]:
        """Judge an account that has a file or named keys."""
        if errors := self.configuration.errors_of(name):
            yield [_Said.WRONG, name, [as_plain(each) for each in errors]]

    def _one(self, account: Account | int, uid: int) -> Iterator[shares.Row]:
        layout = self.configuration.layout
        old = plan_files.Before(layout, uid)
        try:
            if isinstance(account, int):
                raise NotJailedError(f"uid {uid}", "is no longer an account")
            if account.name in self.named:
                wrong = [] if account.name in self.judged else [*self.judge(account.name)]
                yield from wrong
                if wrong:
                    _must_be_jailed(self.configuration, account)
                    return
                yield from self._seen(account.name)
            done = _publish_one(self.configuration, account, self.images, old, self.shared)
            yield from [_row(done.change)] if done.change else []
            yield from [[_Said.DONE, account.name, uid]] if done.simple else []
        except (NotJailedError, NoKeysError) as error:
            withdraw_plan(layout, uid, tidy=uid in self.shared)
            was = old.plans()
            if (was or isinstance(error, NotJailedError)) and uid not in self.withdrawn:
                yield _row(PlanChange(uid, was.plan.name if was else "", "", ("- the plan",)))

    def _seen(self, name: str) -> Iterator[shares.Row]:
        if self.look:
            with suppress(JailsshError, OSError):  # It is no reason to publish nothing, or to take a plan away.
                yield [_Said.SEEN, name, self.look(self.configuration, name)]


def _accounts(
    configuration: Configuration, errors: list[JailsshError], right: Mapping[str, InForce] | None = None
) -> list[Account | int]:
    """Return every account that has a file or a plan once, by uid; the bare uid where the account is gone.

    Those of ``right`` are left out.  Whom the name service cannot tell is left out, and why is added to ``errors``.
    """
    layout = configuration.layout
    found: dict[int, Account] = {}
    unknown: set[str] = set()
    right = right or {}
    for name in sorted({*configuration.user_names(), *configuration.shared_names()}.difference(right)):
        try:
            account = configuration.host.find_account(name)
        except UnansweredError as error:
            errors.append(error)
            unknown.add(name)
            continue
        if account is not None:
            found[account.uid] = account
    planned = set(plan_files.planned_uids(layout)).difference(each.uid for each in right.values())
    each: list[Account | int] = []
    for uid in sorted({*found, *planned}):
        plan = None if uid in found else plan_files.readable_plan(layout, uid)
        if plan is not None and plan.name in unknown:
            continue
        try:
            each.append((found.get(uid) or configuration.host.find_account(uid)) or uid)
        except UnansweredError as error:
            errors.append(error)
    return each
