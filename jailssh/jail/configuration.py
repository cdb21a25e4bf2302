"""What all configuration files said at one moment: the jails, the accounts in them, their keys.

A :class:`Configuration` is what the files said at one moment.  A broken jail file is an error for those who use that
jail, and for :meth:`Configuration.validate`, not for anybody else's login.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from functools import cache, cached_property
from types import MappingProxyType

from jailssh.closure.errors import NoJailError
from jailssh.config import by_key
from jailssh.config.authorized import is_generated, label_of, nameless
from jailssh.config.files import MainConfig, UserConfig, read_main, read_user
from jailssh.config.jails import (
    accepted_of,
    combine,
    combined_name,
    enter_of,
    extend,
    forwards_of,
    groups_of,
    is_on,
    jails_of,
    plugin_document,
    plugins_of,
    reaches_out,
    read_jail,
)
from jailssh.config.keys import NO_KEYS, Keyring, read_keyring
from jailssh.config.reader import Document, did_you_mean, read_document
from jailssh.core.errors import ConfigError, DeniedError, HostError, JailsshError, ManyErrors, UsageError, raise_all
from jailssh.core.names import check_account_name, check_jail_name, escape
from jailssh.core.ports import Ports
from jailssh.core.tries import Tries
from jailssh.files import fs, several
from jailssh.host.paths import Layout
from jailssh.jail.authorized_keys import MAX_KEYS
from jailssh.jail.definition import JailDefinition
from jailssh.jail.directories import check_directories
from jailssh.jail.holders import Holder, holders, of_key, one_of_each
from jailssh.jail.owners import must_be_for, read_optional
from jailssh.jail.profiles import SUFFIX, shipped_profiles
from jailssh.jail.rights_files import Stamps, read_tables, stamps_of
from jailssh.jail.this_host import SAMPLE_ACCOUNT, THIS_HOST, ThisHost
from jailssh.plugin.api import Account, Jail
from jailssh.plugin.registry import Registry, load_registry

JailsOf = Mapping[str, Sequence[str]]
"""The jails of accounts, by their names."""
MAX_FILE = 1 << 18


class NotJailedError(DeniedError):
    """The account is in no jail."""


class NoKeysError(ConfigError):
    """The account is shared and no key of it is left.

    It does not become an ordinary one, into which the account's own file of keys, or a password, would let somebody.
    """


class Configuration:
    """What all configuration files said when it was made; ``documents`` holds an error for a file that is broken.

    ``stamps``: of the files that it was made from.
    """

    def __init__(
        self,
        layout: Layout,
        main: MainConfig,
        documents: Mapping[str, Document | JailsshError],
        registry: Registry,
        stamps: Stamps,
        host: ThisHost = THIS_HOST,
    ) -> None:
        self.layout = layout
        self.main = main
        self.documents = documents
        self.registry = registry
        self.host = host
        self.stamps = stamps
        self._definitions: dict[tuple[str, ...], JailDefinition] = {}

    def is_current(self) -> bool:
        """True if no file changed since (users' files are read anew each time and not part of this)."""
        return self.stamps == stamps_of([path for path, _ in self.stamps])

    def forget(self) -> None:
        """Read the files of accounts anew from here on; a configuration that remembers them has more to do."""

    def answered_by(self, host: ThisHost | None) -> Configuration:
        """Return what the same files say where ``host`` answers for the accounts; None is whoever does now."""
        return Configuration(self.layout, self.main, self.documents, self.registry, self.stamps, host or self.host)

    def definition(self, names: Sequence[str]) -> JailDefinition:
        """Return the jail ``names`` stand for: one jail or plugin, or the union of several."""
        key = tuple(sorted(set(names)))
        if key not in self._definitions:
            documents = {name: self._document(name) for name in key}
            document = combine(documents, self.registry.options) if len(documents) > 1 else documents[key[0]]
            config = read_jail(combined_name(key), document, self.registry.options, self._all_plugins())
            plugins = tuple(self.registry.get(name) for name in config.plugins)
            facts = Jail(config.name, config.plugins, self.host.find_program, self.host.version_of)
            self._definitions[key] = JailDefinition(config, plugins, facts, self.layout.root, host=self.host)
        return self._definitions[key]

    def user(self, name: str) -> UserConfig | None:
        """Return what the file of the account ``name`` says now, None without a file."""
        path = f"{self.layout.users}/{check_account_name(name)}{SUFFIX}"
        data = read_optional(self.layout, path, MAX_FILE)
        return None if data is None else read_user(data, path, name)

    def placed(self, account: Account, user: UserConfig | None = None) -> Account:
        """Return the account with what its own file (``user``) says: where its home is shown, and other directories."""
        user = user or self.user(account.name)
        if user is None or user.uid != account.uid:
            return account
        if user.directories:
            account = replace(account, directories=user.directories)
        if user.home in ("", account.home):
            return account
        return replace(account, home=user.home, host_home=account.home)

    def keyring(self, name: str, *, vacant: bool = False) -> Keyring:
        """Return the named keys of the account ``name`` as the files are now; none for one that is not shared.

        Raises :class:`NoKeysError` for one that is shared and has none, unless ``vacant``.
        """
        user = self.user(name)
        groups = () if user is None else user.groups
        named = user is not None and user.is_shared
        folder = f"{self.layout.key_rings}/{check_account_name(name)}"
        root = self.layout.root or None
        try:
            files = several.read_all_trusted(folder, is_of_a_ring, MAX_FILE, trusted_root=root)
        except HostError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            files = {}
        path = f"{self.layout.keys}/{name}"
        present = (read_optional(self.layout, path, MAX_KEYS) or b"").decode("utf-8", "surrogateescape")
        if not files and not named and not is_generated(present):
            return NO_KEYS
        ring = read_keyring(files, groups)
        if lost := nameless(present, ring):
            why = f"contains a key without a name, but the account is shared: {escape(label_of(lost[0]), 60)}"
            hint = f"move it to {folder}/NAME.pub, or remove its line"
            raise ConfigError(path, why, hint=hint)
        if not ring.keys and not vacant:
            why = f"is shared and {folder} contains no key file: nobody can log in"
            alone = f"remove [groups] and sections for keys, rm {path}, jailssh apply"
            hint = f"jailssh keys add {name} NAME FILE; for one person alone: {alone}"
            raise NoKeysError(f"account {name}", why, hint=hint)
        return ring

    def known_holder(self, account: Account, key: str) -> Holder:
        """Do as :meth:`holder`; raises :class:`UsageError` where the account has no such named key."""
        holder = self.holder(account, key) if key else None
        if holder is None:
            names = self.keyring(account.name).keys
            why = f"is not a named key of {account.name}" if names else f"{account.name} is not a shared account"
            raise UsageError(f"--key {escape(key, 60)}", why, hint=did_you_mean(key, names))
        return holder

    def user_names(self) -> list[str]:
        """Return the accounts that have a file, sorted."""
        return names_in(self.layout, self.layout.users)

    def shared_names(self) -> list[str]:
        """Return the accounts that have a directory for named keys, sorted."""
        return names_in(self.layout, self.layout.key_rings, "")

    def jails_for(self, account: Account) -> tuple[str, ...]:
        """Return the jails of ``account``; raises :class:`NotJailedError` if there is none."""
        user = self.user(account.name)
        must_be_for(self.layout, account, None if user is None else user.uid)
        groups = self._groups_of_jails
        names = jails_of(account, user, groups)
        if user is not None:
            self._check_named(user)
        else:
            # What a broken file says about groups is unknown, so nobody is let in by group until it is mended.
            raise_all([each for each in self.documents.values() if isinstance(each, JailsshError)])
        system = user is None and account.uid < self.main.min_uid
        if not names or system:
            hint = f"jailssh adduser {account.name} --jail JAIL"
            if given := sorted({group for each in groups.values() for group in each}):
                hint += f", or make it a member of a group with a jail: {', '.join(given)}"
            raise NotJailedError(f"account {account.name}", "is not in a jail", hint=hint)
        return names

    @cached_property
    def _groups_of_jails(self) -> dict[str, tuple[str, ...]]:
        return {name: groups_of(each) for name, each in self.documents.items() if isinstance(each, Document)}

    def by_groups(self, account: Account) -> tuple[tuple[int, bool], ...]:
        """Return the gids that decide about the account's jails, each with whether it is in that group.

        None where its own file decides.
        """
        if self.user(account.name) is not None:
            return ()
        inside = {account.group: account.gid, **dict(account.groups)}
        found: dict[int, bool] = {}
        for group in self.groups():
            gid = inside[group] if group in inside else self.host.group_id(group)
            if gid:
                found[gid] = found.get(gid, False) or group in inside
        return tuple(sorted(found.items()))

    def groups(self) -> tuple[str, ...]:
        """Return all unix groups whose members get a jail, sorted."""
        found = {group for each in self.documents.values() if isinstance(each, Document) for group in groups_of(each)}
        return tuple(sorted(found))

    def entries(self) -> dict[str, tuple[str, ...]]:
        """Return who may enter which jail: accounts, and groups with ``@`` in front."""
        found = {name: enter_of(each) for name, each in self.documents.items() if isinstance(each, Document)}
        return {name: words for name, words in sorted(found.items()) if words}

    def groups_with(self, switch: str) -> tuple[str, ...]:
        """Return the unix groups of the jails in which ``switch`` is on, sorted: ``home_keys``, ``directory_keys``."""
        jails = [each for each in self.documents.values() if isinstance(each, Document) and is_on(each, switch)]
        return tuple(sorted({group for each in jails for group in groups_of(each)}))

    def forwarding_jails(self) -> tuple[str, ...]:
        """Return the jails for whose accounts sshd may forward, sorted."""
        each = {name: document for name, document in self.documents.items() if isinstance(document, Document)}
        return tuple(sorted(name for name, document in each.items() if forwards_of(document)))

    def forwarded_names(self, among: Collection[str] | None = None, known: JailsOf | None = None) -> tuple[str, ...]:
        """Return the accounts for which sshd shall forward, sorted: those that are in such a jail by name, not shared.

        Who shares an account would share its network.  One with a broken file is left out.  ``among``: these alone;
        ``known``: as for :meth:`jumping`.
        """
        found = tuple(self._names_in(set(self.forwarding_jails()), among, known))
        shared = set(self.shared_names()) if found else ()
        return tuple(name for name in found if name not in shared)

    def outbound_names(self, among: Collection[str] | None = None, known: JailsOf | None = None) -> tuple[str, ...]:
        """Return the accounts that have a way out of a network of their own, sorted: in such jails by name.

        One with a broken file is left out.  ``among``: these alone; ``known``: as for :meth:`jumping`.
        """
        each = {name: document for name, document in self.documents.items() if isinstance(document, Document)}
        return tuple(self._names_in({name for name, document in each.items() if reaches_out(document)}, among, known))

    def _names_in(self, jails: Set[str], among: Collection[str] | None, known: JailsOf | None) -> Iterator[str]:
        """Yield the accounts that are by name in jails of which all are among these."""
        for name in sorted(self.user_names() if among is None else among) if jails else ():
            if known and name in known and not jails >= set(known[name]):
                continue
            with suppress(JailsshError):
                user = self.user(name)
                if user is not None and user.jails and jails >= set(user.jails):
                    yield name

    def port_lists(self) -> dict[str, Ports]:
        """Return what sshd may forward for accounts without a session, by the group for whose members it does.

        A jail that cannot be read has none.
        """
        found = {}
        for name in self._jumping_jails:
            with suppress(JailsshError):
                if ports := self.definition((name,)).ports():
                    found[ports.group] = ports
        return found

    def may_jump(self, jails: Iterable[str]) -> bool:
        """True if accounts in all of ``jails`` may be such ones: a plugin that could be for them is among theirs."""
        return not self._jumping_jails.isdisjoint(jails)

    def jumping(self, known: JailsOf | None = None) -> dict[str, Ports]:
        """Return the accounts for which sshd shall forward ports without a session, and which; none that are shared.

        One with a broken file, or in jails that cannot be one, is left out.  ``known``: the jails of accounts of whom
        it is known that their files say so, which are not read if these jails cannot be one.
        """
        known = {name: jails for name, jails in (known or {}).items() if not self.may_jump(jails)}
        names = sorted({*self.user_names()}.difference(self.shared_names(), known))
        return {name: ports for name in names if (ports := self._ports_of(name))}

    def ports_of(self, name: str) -> Ports | None:
        """Return what :meth:`jumping` says of one account, without a look at the others."""
        return None if name in self.shared_names() else self._ports_of(name)

    def _ports_of(self, name: str) -> Ports | None:
        with suppress(JailsshError):
            user = self.user(name)
            if user is not None and self.may_jump(user.jails):
                return self.definition(user.jails).ports()
        return None

    @cached_property
    def _jumping_jails(self) -> frozenset[str]:
        """The jails one of whose plugins may be for accounts without a session."""
        plugins = {"jump", *self.main.third_party_plugins}
        each = {name: document for name, document in self.documents.items() if isinstance(document, Document)}
        return frozenset({*plugins, *(name for name, document in each.items() if plugins & set(plugins_of(document)))})

    def accept_env(self) -> tuple[str, ...]:
        """Return the names of variables that a jail accepts, as AcceptEnv of sshd_config(5) has them, sorted."""
        found = {name for each in self.documents.values() if isinstance(each, Document) for name in accepted_of(each)}
        return tuple(sorted(found))

    def validate(self) -> None:
        """Raise every error in jails and users' files at once; see :meth:`validate_jails`."""
        tries = Tries()
        tries("jails", self.validate_jails)
        for each in self.account_errors().values():
            tries.errors += each
        tries.end()

    def account_errors(self) -> dict[str, list[JailsshError]]:
        """Return what is wrong with single accounts, by name: their files, keys, directories; not looked up, too."""
        names = sorted({*self.user_names(), *self.shared_names()})
        found = {name: self.errors_of(name) for name in names}
        return {name: errors for name, errors in found.items() if errors}

    def errors_of(self, name: str) -> list[JailsshError]:
        """Return what is wrong with one account that has a file or named keys, as :meth:`account_errors` does."""
        errors: list[JailsshError] = []
        _collect(errors, self._validate_user, name)
        return errors

    def validate_jails(self) -> None:
        """Raise every error in the jails at once.

        A shipped profile counts only where somebody uses it: it may be for a program that this host does not have.
        """
        errors: list[JailsshError] = [
            ConfigError(self._named_by("third_party_plugins"), f"third_party_plugins: {name} is not installed",
                        hint="install it, or remove its name")
            for name in self.missing_plugins()
        ]  # fmt: skip
        for name in self.own_jails():
            _collect(errors, self._check_one, name)
        raise_all(errors)

    def own_jails(self) -> list[str]:
        """Return the jails that are the administrator's own, sorted."""
        shipped = {name: each.file for name, each in shipped_profiles().items()}
        return sorted(name for name, each in self.documents.items() if getattr(each, "file", "") != shipped.get(name))

    def check(self, names: Sequence[str]) -> None:
        """Raise unless ``names`` stand for a jail that an ordinary account could use."""
        definition = self.definition(names)
        definition.needs()
        definition.check_plan(self.main, SAMPLE_ACCOUNT)

    def missing_plugins(self) -> list[str]:
        """Return the plugins that ``third_party_plugins`` names and that nothing installed offers, sorted."""
        return sorted(set(self.main.third_party_plugins) - self._all_plugins())

    def _check_one(self, name: str) -> None:
        self.check((name,))
        definition = self.definition((name,))
        check_directories(definition.config, definition.results(SAMPLE_ACCOUNT), SAMPLE_ACCOUNT, self.host)

    def _validate_user(self, name: str) -> None:
        user = self.user(name)
        if user is not None:
            self._check_named(user)
            self.definition(user.jails)
        account = self.host.find_account(name)
        if account is None:
            # It is no mistake in the configuration that an account went: jailssh.diagnose.findings tells it.
            return
        definition = self.definition(self.jails_for(account))
        ring = self.keyring(name, vacant=True)
        if user is not None:
            by_key.check(user.by_key, definition.config, self.registry.options)
        placed = self.placed(account, user)
        found = self.holders(definition, placed, ring, user) if ring.keys or not ring.shared else ()
        planned = dict.fromkeys(one_of_each(found))
        for each in planned:
            each.definition.check_plan(self.main, each.account, each.user, of_key=bool(each.names))
        for each in found:
            # What rules and directories cannot say together was seen where a plan was made of them.
            if each not in planned:
                each.check_results()
            check_directories(each.definition.config, each.results(), each.account, self.host)

    def holders(
        self, definition: JailDefinition, account: Account, ring: Keyring, user: UserConfig | None
    ) -> tuple[Holder, ...]:
        """Return in which ways the account is used; see :func:`jailssh.jail.holders.holders`."""
        return holders(definition, account, ring, user, self.registry.options)

    def holder(self, account: Account, key: str = "") -> Holder | None:
        """Return who has the named key of the account, None if nobody; see :func:`jailssh.jail.holders.of_key`."""
        user = self.user(account.name)
        definition, ring = self.definition(self.jails_for(account)), self.keyring(account.name)
        return of_key(definition, self.placed(account, user), ring, user, self.registry.options, key)

    def _check_named(self, user: UserConfig) -> None:
        """Raise for jails that the account's file names and that are not there (any more)."""
        known = {*self.documents, *self._all_plugins()}
        where = next(item.origin for item in user.items if item.setting.name == "jail")
        raise_all(
            [
                NoJailError(
                    where,
                    f"jail {jail} of account {user.name} does not exist",
                    hint=f"jailssh adduser {user.name} --jail JAIL; {did_you_mean(jail, known)}",
                )
                for jail in user.jails
                if jail not in known
            ]
        )

    def _all_plugins(self) -> set[str]:
        return {*self.registry.plugins, *self.registry.broken}

    def _named_by(self, setting: str) -> str:
        return next(item.origin for item in self.main.items if item.setting.name == setting)

    def _document(self, name: str) -> Document:
        found = self.documents.get(name)
        if isinstance(found, Document):
            return found
        if found is not None:
            raise found
        if name in self.registry.plugins or name in self.registry.broken:
            return plugin_document(name)
        known = {*self.documents, *self.registry.plugins}
        raise ConfigError(f"jail {name}", "does not exist", hint=did_you_mean(name, known))


def load_configuration(layout: Layout, main: MainConfig | None = None, host: ThisHost = THIS_HOST) -> Configuration:
    """Read the main file, the profiles and the jail files; raises only for the main file and untrusted directories.

    ``main`` stands for the main file, ``host`` for this host.
    """
    names = names_in(layout, layout.jails)
    # Stamped first: a change while we read makes the result out of date, never wrong for long.
    stamps = stamps_of([layout.config_file, layout.jails, *(f"{layout.jails}/{name}{SUFFIX}" for name in names)])
    if main is None:
        main = read_main(read_optional(layout, layout.config_file, MAX_FILE) or b"", layout.config_file)
    documents: dict[str, Document | JailsshError] = dict(shipped_profiles())
    for name in names:
        path = f"{layout.jails}/{name}{SUFFIX}"
        try:
            check_jail_name(name)
            text = fs.read_trusted(path, MAX_FILE, trusted_root=layout.root or None)
            documents[name] = extend(read_document(text, path), shipped_profiles())
        except UsageError as error:
            documents[name] = ConfigError(path, error.why, hint=error.hint)
        except JailsshError as error:
            documents[name] = error
    registry = installed_plugins(main.third_party_plugins)
    stamps += read_tables(layout, documents, registry)
    return Configuration(layout, main, MappingProxyType(documents), registry, stamps, host)


@cache
def installed_plugins(third_party: tuple[str, ...]) -> Registry:
    """Return the plugins, looked for once in this process."""
    return load_registry(third_party)


def is_of_a_ring(file: str) -> bool:
    """True for what must be a key's file; editors leave hidden files and backups beside it."""
    return not file.startswith(".") and not file.endswith("~")


def _collect(errors: list[JailsshError], act: Callable[[str], None], name: str) -> None:
    try:
        act(name)
    except ManyErrors as several:
        errors.extend(several.errors)
    except JailsshError as error:
        errors.append(error)


def names_in(layout: Layout, folder: str, suffix: str = SUFFIX) -> list[str]:
    """Return the names of the files that end so in a trusted directory, sorted; none where it is absent."""
    try:
        fd = fs.open_dir(folder, trusted_root=layout.root or None)
    except HostError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return []
        raise
    try:
        return sorted(file.removesuffix(suffix) for file in os.listdir(fd) if file.endswith(suffix) and file[0] != ".")
    finally:
        os.close(fd)
