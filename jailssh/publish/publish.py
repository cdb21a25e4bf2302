"""Make configuration effective: images built, plans compiled and put where the login program reads them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial

from jailssh.closure.errors import NoJailError
from jailssh.config.directories import TOP
from jailssh.config.keys import Keyring
from jailssh.config.settings import SettingKind
from jailssh.core.errors import ConfigError, JailsshError, ManyErrors, distinct, raise_all
from jailssh.core.names import HostPath
from jailssh.core.tries import Tries
from jailssh.files import fs
from jailssh.host import accounts
from jailssh.host.accounts import UnansweredError
from jailssh.host.paths import Layout
from jailssh.image.store import BuildResult, current_image, new_host
from jailssh.jail import owners
from jailssh.jail.bounds import slice_properties
from jailssh.jail.configuration import Configuration, NoKeysError, NotJailedError, load_configuration
from jailssh.jail.directories import check_default_acls
from jailssh.jail.steady import steady
from jailssh.jail.this_host import to_account
from jailssh.plan import codec
from jailssh.plugin.api import Account
from jailssh.publish import asked, crontabs, key_rings, keys_wanted, plan_files, quotas, relayed
from jailssh.publish.account_plan import InForce, Use, check_sources, difference
from jailssh.publish.images import Images, prune_images
from jailssh.services import log_sockets, slices
from jailssh.services.sessions import end_kept


@dataclass(frozen=True)
class Published:
    """A published plan: ``changed`` if the file is not as it was, the image it uses, what the account can do.

    Of a shared account it is the roster, and ``of_keys`` has its keys' plans by serial.  ``limited``: what changed of
    its quotas.  ``note``: what went wrong without being a reason to publish nothing.
    """

    plan: codec.Plan
    _: KW_ONLY
    changed: bool
    image: BuildResult
    jail: str
    capabilities: tuple[str, ...]
    of_keys: Mapping[str, codec.Plan]
    limited: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class PlanChange:
    """What publishing does to one account: the jail ("" is none any more) and the plan's lines that change.

    ``notes``: what does not hold although the plan is there; with them alone nothing has changed.
    """

    uid: int
    name: str
    jail: str
    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()


def publish_plan(
    configuration: Configuration, account: Account, images: Images | None = None, use: Use | None = None
) -> Published:
    """Compile and publish the plan of ``account``, of a shared one the roster and its keys' plans, with the image.

    Raises :class:`NotJailedError`, :class:`ConfigError` (also when the configuration changed meanwhile: load it again),
    or what building an image raises.  The old plan stays as it is then.  Plans of keys that no key has any more stay
    until :func:`jailssh.publish.plan_files.tidy`.  ``use``: what the configuration says of it, where that is known.
    """
    layout = configuration.layout
    use = use or Use.of(configuration, account)
    for holder, results in use.results.items():
        check_default_acls(holder.definition.config, results, account)
    image = (images or Images(layout)).ensure(use.definition, use.tops())
    made = use.compile(configuration.main, image.path)
    for plan in made.of_keys.values() if made.of_keys else (made.plan,):
        check_sources(plan, use.definition.name)
    if use.records():
        fs.ensure_dir(layout.recordings, 0o700)
    # What confines comes first: without it nothing is published.
    limited, note = quotas.hold(layout, use.quota(made))
    with plan_files.locked(layout):
        # A plan of an older configuration must not replace one that another process has just published.
        configuration.forget()
        if not configuration.is_current() or not use.is_current(configuration):
            raise ConfigError(f"account {account.name}", "the configuration changed while its plan was compiled")
        owners.note(layout, account)
        if use.definition.config.log and not layout.root:
            log_sockets.make_place(layout, account.uid)
        changed = plan_files.write(layout, made.plan, made.of_keys)
        crontabs.follow(layout, made.plan)
    published = Published(
        made.plan,
        changed=changed,
        image=image,
        jail=use.definition.name,
        capabilities=use.capabilities(),
        of_keys=made.of_keys,
        limited=tuple(limited),
        note=note,
    )
    return published if images and images.hold_later else hold(configuration, account, published)


def hold(configuration: Configuration, account: Account, published: Published) -> Published:
    """Have systemd hold all sessions of the account together to what its jail says, and the relay its log's sockets.

    Returns it with a note.
    """
    layout = configuration.layout
    config = configuration.definition(configuration.jails_for(account)).config
    notes = [
        published.note,
        slices.hold(layout, account.uid, slice_properties(config)),
        asked.note(layout, config.plugins),
    ]
    # Who logs has had a place since the plan was published: of thousands who do not, no plan is read again.
    if os.path.isdir(log_sockets.place(layout, account.uid)):
        notes.append(relayed.follow(layout, account.uid))
    return replace(published, note="; ".join(filter(None, notes)))


def publish_and_tidy(configuration: Configuration, account: Account, images: Images | None = None) -> Published:
    """Do what :func:`publish_plan` does, then remove the plans of keys that no key has any more."""
    done = publish_plan(configuration, account, images)
    plan_files.tidy(plan_files.plan_file(configuration.layout, account.uid), configuration.layout.root)
    return done


def withdraw_plan(layout: Layout, uid: int, *, tidy: bool = True) -> bool:
    """Remove the plan of ``uid``, those of its keys and for entering jails, end what lingers; False if it had none.

    Not ``tidy``: those of its keys, which nothing leads to any more, are left to :func:`plan_files.sweep`.
    """
    found = plan_files.withdraw(layout, uid)
    if tidy:
        plan_files.tidy(plan_files.plan_file(layout, uid), layout.root)
    plan_files.withdraw_entries(layout, uid)
    relayed.follow(layout, uid)
    crontabs.withdraw(layout, uid)
    if not layout.root and not end_kept(uid, layout.login_program):
        raise JailsshError(
            f"uid {uid}", "processes in the background of its jail do not end", hint=f"jailssh kick {uid}"
        )
    return found


def changes(
    configuration: Configuration, wrong: Collection[str] = (), errors: list[JailsshError] | None = None
) -> list[PlanChange]:
    """Return what :func:`publish_each` would change, as far as it shows without building an image.

    ``errors`` of single accounts are added to; without it they are raised.
    """
    layout = configuration.layout
    found = []
    given, errors = errors, [] if errors is None else errors
    for account in _accounts(configuration, errors):
        if not isinstance(account, int) and account.name in wrong:
            continue
        uid = account if isinstance(account, int) else account.uid
        if isinstance(account, int):
            old = plan_files.published(layout, uid)
            found.append(PlanChange(uid, old.plan.name if old else "", "", ("- the plan",)))
        else:
            try:
                change = pending(configuration, account)
            except JailsshError as error:
                errors.append(error)
                continue
            if change:
                found.append(change)
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
    look: Callable[[Configuration, str], None] | None = None,
) -> list[JailsshError]:
    """Publish the plan of every account that has a file or a plan, withdraw plans of accounts in no jail, prune images.

    What is taken away goes first.  Returns the errors; what changed is added to ``found`` as it happens.  An account's
    error does not stop the others: its plan stays as it is, unless its jail is not there any more.  Nobody is taken for
    gone whom the name service cannot tell.

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
    shared = plan_files.uids_of_keys(configuration.layout)
    withdrawn = {change.uid for change in found}
    lines: dict[str, dict[str, str]] = {}
    named = set() if wrong is None else {*configuration.user_names(), *configuration.shared_names()}
    wrong = {} if wrong is None else wrong
    for account in _accounts(configuration, errors, right):
        uid = account if isinstance(account, int) else account.uid
        old = plan_files.Before(configuration.layout, uid)
        configuration.forget()
        try:
            if isinstance(account, int):
                raise NotJailedError(f"uid {uid}", "is no longer an account")
            if account.name in named and _is_wrong(configuration, account.name, wrong, judged, look):
                _must_be_jailed(configuration, account)
                continue
            if change := _publish_one(configuration, account, images, old, shared, done):
                found.append(_with_lines_of(change, lines))
        except (NotJailedError, NoKeysError) as error:
            withdraw_plan(configuration.layout, uid, tidy=uid in shared)
            was = old.plans()
            if (was or isinstance(error, NotJailedError)) and uid not in withdrawn:
                found.append(PlanChange(uid, was.plan.name if was else "", "", ("- the plan",)))
        except ManyErrors as several:
            errors.extend(several.errors)
        except JailsshError as error:
            errors.append(error)
        except OSError as error:
            errors.append(JailsshError(f"plan of uid {uid}", str(error)))
    for name in sorted(named - judged):
        _is_wrong(configuration, name, wrong, judged)
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


def _is_wrong(
    configuration: Configuration,
    name: str,
    wrong: dict[str, list[JailsshError]],
    judged: set[str],
    look: Callable[[Configuration, str], None] | None = None,
) -> bool:
    """Judge an account that has a file or named keys, once; True if something is wrong with it, which is kept.

    ``look`` is called where nothing is.
    """
    if name not in judged and (found := configuration.errors_of(name)):
        wrong[name] = found
    judged.add(name)
    if look and name not in wrong:
        with suppress(JailsshError, OSError):  # It is no reason to publish nothing, or to take a plan away.
            look(configuration, name)
    return name in wrong


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


def _publish_one(
    configuration: Configuration,
    account: Account,
    images: Images,
    old: plan_files.Before,
    shared: Collection[int],
    published: dict[str, int] | None = None,
) -> PlanChange | None:
    """Publish an account's plan and, if it is shared, its keys file: keys that go first, keys that come last.

    ``shared``: the uids of accounts for whose keys there were plans.
    """
    key_rings.revoke(configuration.layout, account.name, account.uid)
    use = Use.of(configuration, account)
    lines = keys_wanted.change(configuration, account, use)
    lines += slices.difference(configuration.layout, account.uid, slice_properties(use.definition.config))
    done = publish_plan(configuration, account, images, use)
    if account.uid in shared or done.of_keys:
        plan_files.tidy(plan_files.plan_file(configuration.layout, account.uid), configuration.layout.root)
    if done.of_keys:
        configuration.forget()
    keys_wanted.widen(configuration, account, use)
    if published is not None and not done.note and not done.of_keys:
        published[account.name] = account.uid
    is_new = done.changed or old.is_roster or bool(done.of_keys)
    now = plan_files.AccountPlans(done.plan, done.of_keys)
    lines = [*(difference(old.plans(now), now) if is_new else ()), *lines, *done.limited]
    notes = (done.note,) if done.note else ()
    return PlanChange(account.uid, account.name, done.jail, tuple(lines), notes) if lines or notes else None


def _with_lines_of(change: PlanChange, before: dict[str, dict[str, str]]) -> PlanChange:
    """Return the same with lines of the account ``before`` in that jail where it has them, and note those of this one.

    Most lines are those of every other account in the jail, and all are kept until they are told.
    """
    known = before.get(change.jail, {})
    lines = tuple([known.get(line, line) for line in change.lines])
    before[change.jail] = {line: line for line in lines}
    return replace(change, lines=lines)


class Publisher:
    """What account changes need of the configuration and the images; it is read anew where it has changed."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._images = Images(layout, 60)
        configuration = self._loaded = load_configuration(layout)
        self.min_uid: int = configuration.main.min_uid
        self.deny_groups: tuple[str, ...] = configuration.main.deny_groups
        self.groups: tuple[str, ...] = configuration.groups()

    def _configuration(self) -> Configuration:
        if not self._loaded.is_current():
            self._loaded = load_configuration(self._layout)
        return self._loaded

    def check(self, jails: tuple[str, ...]) -> None:
        """Raise unless every name is a jail or a plugin and they can be combined."""
        self._configuration().check(jails)

    def has_rights(self, jails: tuple[str, ...]) -> bool:
        """True if the jails give rights to people by name."""
        items = self._configuration().definition(jails).config.items
        return any(item.setting.kind == SettingKind.RIGHTS and item.lines for item in items)

    def shows_tops(self, jails: tuple[str, ...]) -> bool:
        """True if the jails show what stands at the top of a home at their own: such a home is root's.

        Of jails that are wrong it is not said here: whoever asks also wants to know what else is in the way.
        """
        with suppress(JailsshError):
            return any(each.place == TOP for each in self._configuration().definition(jails).config.directories)
        return False

    def check_jailed(self, entry: accounts.AccountEntry) -> None:
        """Raise unless the account is in a jail."""
        self._configuration().jails_for(to_account(entry))

    def make_image(self, jails: tuple[str, ...]) -> None:
        """Build the image of an account in ``jails`` where needed; what is found is believed for a minute."""
        self._images.ensure(self._configuration().definition(jails))

    def publish(self, entry: accounts.AccountEntry) -> str:
        """Build the account's image where needed, publish its plan, return what the account can do now.

        What an older roster names stays until :meth:`tidy`, so that this can be taken back.
        """
        published = publish_plan(self._configuration(), to_account(entry), self._images)
        return ", ".join(published.capabilities) + (f"; note: {published.note}" if published.note else "")

    def withdraw(self, uid: int) -> None:
        """Remove the plan of ``uid``; absent is fine.  Those of its keys stay until :meth:`tidy`."""
        plan_files.withdraw(self._layout, uid)

    def tidy(self, uid: int) -> None:
        """Remove the plans of keys that nothing names any more."""
        plan_files.tidy(plan_files.plan_file(self._layout, uid), self._layout.root)

    def keyring(self, name: str) -> Keyring:
        """Return the named keys of the account; none for one that is not shared, or is, and has none any more."""
        return self._configuration().keyring(name, vacant=True)

    def keys_text(self, entry: accounts.AccountEntry) -> str:
        """Return what the keys file of a shared account must hold."""
        return keys_wanted.wanted(self._configuration(), to_account(entry))


def _accounts(
    configuration: Configuration, errors: list[JailsshError], right: Mapping[str, InForce] | None = None
) -> Iterator[Account | int]:
    """Yield every account that has a file or a plan once, by uid; the bare uid where the account is gone.

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
    for uid in sorted({*found, *planned}):
        plan = None if uid in found else plan_files.readable_plan(layout, uid)
        if plan is not None and plan.name in unknown:
            continue
        try:
            # Of ten thousand none is kept that has had its turn.
            yield (found.pop(uid) if uid in found else configuration.host.find_account(uid)) or uid
        except UnansweredError as error:
            errors.append(error)
