"""Jails that accounts enter on this host: who may by ``enter`` of a jail's file, and the plans for that.

A plan is made for each account and jail, of an account in a group for sessions that are in it, so the login program
asks nobody.  It says the same as one for logins of that account in that jail, but for what only a login has: where it
comes from (``addresses``), processes in the background (``linger``), and the relay of what a jail logs, which knows one
jail for each uid.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial

from jailssh.config.jails import GROUP_MARK
from jailssh.config.reader import Document
from jailssh.core.closed import Recorded
from jailssh.core.errors import ConfigError, JailsshError
from jailssh.core.names import HostPath
from jailssh.core.tries import Tries
from jailssh.files import fs
from jailssh.host.accounts import UnansweredError
from jailssh.host.paths import Layout
from jailssh.image.store import current_image
from jailssh.jail.configuration import Configuration
from jailssh.jail.directories import check_default_acls
from jailssh.jail.this_host import ThisHost
from jailssh.plan import codec
from jailssh.plan.compile import compile_plan, network_of, runs_own_code
from jailssh.plan.view import tops_of
from jailssh.plugin.api import Account, PluginResult
from jailssh.policy.seccomp import filter_for
from jailssh.publish import plan_files
from jailssh.publish.account_plan import check_sources
from jailssh.publish.images import Images
from jailssh.publish.publish import PlanChange


@dataclass(frozen=True)
class Entrant:
    """An account that may enter a jail.  ``group``: the gid by which, None for one that is named itself.

    ``expires``: when the account does, seconds since 1970.
    """

    account: Account
    jail: str
    _: KW_ONLY
    group: int | None
    expires: int | None


@dataclass(frozen=True)
class Listed:
    """Who may enter which jail, by (uid, jail); ``unsure``: jails of which that is not known at the moment."""

    who: dict[tuple[int, str], Entrant] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)


def listed(configuration: Configuration, errors: list[JailsshError]) -> Listed:
    """Return who may enter; what is wrong with a name is added to ``errors`` and lets nobody in.

    Left out are accounts that are gone or have expired, members of groups that are system accounts, and root.
    """
    found = Listed()
    found.unsure.update(name for name, each in configuration.documents.items() if not isinstance(each, Document))
    for jail, words in configuration.entries().items():
        try:
            for entrant in _entrants(configuration, jail, words, errors):
                found.who.setdefault((entrant.account.uid, jail), entrant)
        except UnansweredError as error:
            found.unsure.add(jail)
            errors.append(error)
    return found


def _entrants(
    configuration: Configuration, jail: str, words: tuple[str, ...], errors: list[JailsshError]
) -> Iterator[Entrant]:
    """Yield accounts that are named before those that are in a group."""
    host, now = configuration.host, time.time()
    for word in sorted(words, key=lambda each: each.startswith(GROUP_MARK)):
        group = word.removeprefix(GROUP_MARK) if word.startswith(GROUP_MARK) else ""
        gid = host.group_id(group) if group else None
        for name in host.everybody(group) if gid else () if group else (word,):
            account = host.find_account(name)
            if account is None or (group and account.uid < configuration.main.min_uid):
                continue
            expires = None if configuration.layout.root else host.expiry(name)
            if account.uid == 0:
                errors.append(ConfigError(f"jail {jail}", f"enter: {name} is root, who is never jailed"))
            elif (expires is None or expires > now) and not _is_shared(configuration, name, jail, errors):
                yield Entrant(account, jail, group=gid, expires=expires)


def _is_shared(configuration: Configuration, name: str, jail: str, errors: list[JailsshError]) -> bool:
    try:
        if not configuration.keyring(name, vacant=True).shared:
            return False
        why = f"enter: {name} is shared by named keys, and nothing tells whose a process on this host is"
        errors.append(ConfigError(f"jail {jail}", why, hint="remove its name"))
    except JailsshError as error:
        errors.append(error)
    return True


class _Made:
    """One plan in the making."""

    def __init__(self, configuration: Configuration, entrant: Entrant) -> None:
        self._configuration = configuration
        self._entrant = entrant
        account = entrant.account
        self.user = configuration.user(account.name)
        if self.user is not None and self.user.uid != account.uid:
            self.user = None
        self.account = configuration.placed(account, self.user)
        self.definition = configuration.definition((entrant.jail,))
        self.results: tuple[PluginResult, ...] = self.definition.results(self.account)

    def compile(self, image: HostPath) -> codec.Plan:
        """Return the plan with the image at this host path."""
        entrant, settings = self._entrant, self.definition.settings(self._configuration.main, self.user)
        ends = [end for end in (settings.access.expires, entrant.expires or 0) if end]
        access = replace(settings.access, addresses=(), key_sessions=0, expires=min(ends, default=0))
        by_groups = ((entrant.group, True),) if entrant.group else ()
        settings = replace(settings, access=access, linger=False, log=None, crontabs=None, by_groups=by_groups)
        seccomp = filter_for(network_of(settings, self.results), ipc=runs_own_code(self.results))
        return compile_plan(self.account, settings, self.results, image, seccomp)


def _publish(configuration: Configuration, entrant: Entrant, images: Images) -> codec.Plan:
    layout, jail = configuration.layout, entrant.jail
    made = _Made(configuration, entrant)
    check_default_acls(made.definition.config, made.results, made.account)
    image = images.ensure(made.definition, tops_of(made.account, made.results))
    plan = made.compile(image.path)
    check_sources(plan, jail)
    if made.definition.config.record != Recorded.NO:
        fs.ensure_dir(layout.recordings, 0o700)
    with plan_files.locked(layout):
        if not configuration.is_current() or configuration.user(entrant.account.name) != made.user:
            raise ConfigError(
                f"account {entrant.account.name}", "the configuration changed while its plan was compiled"
            )
        plan_files.write_entry(layout, plan, jail)
    return plan


def _change(entrant: Entrant, old: codec.Plan | None, new: codec.Plan) -> list[PlanChange]:
    account = entrant.account
    lines = codec.diff(old, new)
    head = ("+ may enter it",) if old is None else ("to enter it:",)
    return [PlanChange(account.uid, account.name, entrant.jail, (*head, *lines))] if lines else []


def withdraw_unlisted(configuration: Configuration, errors: list[JailsshError], *, act: bool) -> list[PlanChange]:
    """Take away the plans of who may not enter any more; return what changes.  Without ``act``, only look.

    What is not known for sure stays.  Errors are added to ``errors``.
    """
    layout, tries, found = configuration.layout, Tries(), []
    known = listed(configuration, [])
    for uid, jail in plan_files.entries(layout):
        if (uid, jail) in known.who or jail in known.unsure:
            continue
        plan = plan_files.readable_entry(layout, uid, jail)
        found.append(PlanChange(uid, plan.name if plan else "", jail, ("- may enter it",)))
        if act:
            tries(f"uid {uid}, jail {jail}", partial(plan_files.withdraw_entries, layout, uid, (jail,)))
    errors += tries.errors
    return found


def publish_entries(
    configuration: Configuration, found: list[PlanChange], images: Images | None = None, only: Collection[int] = ()
) -> list[JailsshError]:
    """Publish the plans of all who may enter a jail, or of the uids ``only``, and withdraw those of all others.

    Returns the errors; what changed is added to ``found``.  An error about one plan leaves it as it is.
    """
    tries = Tries()
    found += withdraw_unlisted(configuration, tries.errors, act=True)
    images = images or Images(configuration.layout, 3600)
    for (uid, jail), entrant in sorted(listed(configuration, tries.errors).who.items()):
        if only and uid not in only:
            continue
        old = plan_files.readable_entry(configuration.layout, uid, jail)
        new = tries(f"uid {uid}, jail {jail}", partial(_publish, configuration, entrant, images))
        found += _change(entrant, old, new) if new else []
    return tries.errors


def pending_entries(configuration: Configuration, errors: list[JailsshError]) -> list[PlanChange]:
    """Return what :func:`publish_entries` would change, as far as it shows without building an image."""
    layout, tries = configuration.layout, Tries()
    found = withdraw_unlisted(configuration, tries.errors, act=False)
    for (uid, jail), entrant in sorted(listed(configuration, tries.errors).who.items()):
        new = tries(f"uid {uid}, jail {jail}", partial(_with_present_image, configuration, entrant))
        found += _change(entrant, plan_files.readable_entry(layout, uid, jail), new) if new else []
    errors += tries.errors
    return found


def _with_present_image(configuration: Configuration, entrant: Entrant) -> codec.Plan:
    layout = configuration.layout
    image = current_image(layout, entrant.jail) or HostPath(f"{layout.images}/.pool/new")
    return _Made(configuration, entrant).compile(image)


def withdraw_gone(layout: Layout, host: ThisHost, *, act: bool) -> list[PlanChange]:
    """Take away the plans of accounts that are gone or have another name; needs no configuration."""
    found = []
    for uid, jail in plan_files.entries(layout):
        plan = plan_files.readable_entry(layout, uid, jail)
        try:
            account = host.find_account(plan.name if plan else uid)
        except UnansweredError:
            continue
        if account is None or account.uid != uid:
            found.append(PlanChange(uid, plan.name if plan else "", jail, ("- may enter it",)))
            if act:
                plan_files.withdraw_entries(layout, uid, (jail,))
    return found
