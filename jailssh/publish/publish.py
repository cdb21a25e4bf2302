"""Make configuration effective: images built, plans compiled and put where the login program reads them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, replace

from jailssh.config.directories import TOP
from jailssh.config.keys import Keyring
from jailssh.config.settings import SettingKind
from jailssh.core.errors import ConfigError, JailsshError
from jailssh.files import fs
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.image.store import BuildResult
from jailssh.jail import naming, owners
from jailssh.jail.bounds import slice_properties
from jailssh.jail.configuration import Configuration, load_configuration
from jailssh.jail.directories import check_default_acls
from jailssh.jail.this_host import to_account
from jailssh.plan import codec
from jailssh.plugin.api import Account
from jailssh.publish import asked, crontabs, keys_wanted, plan_files, quotas, relayed
from jailssh.publish.account_plan import Use, check_sources
from jailssh.publish.images import Images
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
    configuration: Configuration,
    account: Account,
    images: Images | None = None,
    use: Use | None = None,
    *,
    settle: bool = True,
) -> Published:
    """Compile and publish the plan of ``account``, of a shared one the roster and its keys' plans, with the image.

    Raises :class:`NotJailedError`, :class:`ConfigError` (also when the configuration changed meanwhile: load it again),
    or what building an image raises.  The old plan stays as it is then.  Plans of keys that no key has any more stay
    until :func:`jailssh.publish.plan_files.tidy`.  ``use``: what the configuration says of it, where that is known.
    ``settle``: see :func:`jailssh.publish.plan_files.ready`.
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
    # A key that is let in afterwards must find its plan, whatever happens between.
    settle = settle or bool(made.of_keys)
    with (
        owners.noting(layout, account, settle=settle) as note_owner,
        plan_files.ready(layout, made.plan, settle=settle) as put,
        plan_files.locked(layout),
    ):
        # A plan of an older configuration must not replace one that another process has just published.
        configuration.forget()
        if not configuration.is_current() or not use.is_current(configuration):
            raise ConfigError(f"account {account.name}", "the configuration changed while its plan was compiled")
        if use.definition.config.log and not layout.root:
            log_sockets.make_place(layout, account.uid)
        note_owner()
        changed = plan_files.write(layout, made.plan, made.of_keys, put)
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

    def places(self, entry: accounts.AccountEntry, name: str) -> list[str]:
        """Return where jail files say ``name`` and mean the account."""
        return naming.places(self._configuration(), to_account(entry), name)

    def keys_text(self, entry: accounts.AccountEntry) -> str:
        """Return what the keys file of a shared account must hold."""
        return keys_wanted.wanted(self._configuration(), to_account(entry))
