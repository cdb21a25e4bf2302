"""The definition of a jail: what its plugins answer, asked once, and what that comes to for one account."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TypeVar

from jailssh.closure.errors import ImageError
from jailssh.closure.manifest import WITH_CONTENT, Manifest
from jailssh.config.directories import SECTION
from jailssh.config.files import MainConfig, UserConfig
from jailssh.config.jails import (
    JailConfig,
    locate,
    locate_rules,
)
from jailssh.config.limits import access_of, log_rate_of
from jailssh.config.reader import Item
from jailssh.config.specifiers import expanded
from jailssh.core.closed import Forward, Network, Root
from jailssh.core.errors import ConfigError
from jailssh.core.names import HostPath, JailPath, is_below
from jailssh.host.clock import local_offsets
from jailssh.host.paths import Layout
from jailssh.image.live import in_live_root, live_needs, live_tops
from jailssh.image.network import name_needs, network_needs
from jailssh.image.store import find
from jailssh.jail.bounds import rlimits, what_is_there
from jailssh.jail.crontab import crontab_needs, crontab_place
from jailssh.jail.lingering import refuse_bounds, refuse_useless
from jailssh.jail.meeting import refuse_clashes, refuse_sessions
from jailssh.jail.named import named_needs
from jailssh.jail.shown import Entry, denial, entries, filled, outside, show, tried, with_library
from jailssh.jail.this_host import SAMPLE_ACCOUNT, THIS_HOST, ThisHost
from jailssh.plan.compile import JailSettings, check_results, compile_plan
from jailssh.plugin.answers import raised, type_mismatch
from jailssh.plugin.api import Account, ImageNeeds, Jail, Listed, Plugin, PluginResult, Ports, Value
from jailssh.plugin.trials import Trial, Tried
from jailssh.policy.rules import RuleError

NO_FILTER = ("none", bytes(8))
_FEW, _KEPT = 16, 1.0
"""What plugins give to the last accounts is asked for several times in a row, as one plan is made: for a second it is
the same answer."""
_Answer = TypeVar("_Answer")


@contextmanager
def in_file(file: str) -> Iterator[None]:
    """Have configuration errors from within name the file that they are about."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(file, f"{error.what}: {error.why}", hint=error.hint) from error


@dataclass(frozen=True)
class JailDefinition:
    """A jail ready for use: its configuration, its plugins, and what they may know about it.

    ``root`` is the directory that stands for the host's, "" for the host's own.
    """

    config: JailConfig
    plugins: tuple[Plugin, ...]
    facts: Jail
    root: str = ""
    host: ThisHost = THIS_HOST

    @property
    def name(self) -> str:
        """The jail's name."""
        return self.config.name

    def needs(self) -> tuple[tuple[str, ImageNeeds], ...]:
        """Return what the image must hold, as (plugin, needs); looks programs up on the host each time."""
        needs = tuple((p.name, self._ask(p, partial(p.image, self.facts), ImageNeeds)) for p in self.plugins)
        needs += named_needs(self.config, needs, self.facts.find_program)
        if self.config.network in (Network.HOST, Network.OUTBOUND):
            needs += network_needs(of_host=self.config.network == Network.HOST)
        if self.config.directories:
            needs += ((SECTION, ImageNeeds(files=(Layout().made_library,))),)
        if self.config.services:
            # Where clients look: PHP's and others' sockets are still below /var/run.
            needs += (("services", ImageNeeds(links=(("/var/run", "../run"),))),)
        needs += crontab_needs(self.config)
        # First, so that no data set has its own before.
        needs = name_needs(self.config.hostname, needs) + needs
        if self.config.root != Root.LIVE:
            return needs
        with in_file(self.config.file):
            return live_needs(needs, self.facts.find_program)

    def needs_of(self, plugin: Plugin, facts: Jail) -> ImageNeeds:
        """Return what one plugin needs in the image, in a jail with these facts."""
        return self._ask(plugin, partial(plugin.image, facts), ImageNeeds)

    def programs(self) -> tuple[str, ...]:
        """Return the programs that the rules of an account with every right run, sorted."""
        results = self._given(replace(SAMPLE_ACCOUNT, roles=self.words() | SAMPLE_ACCOUNT.roles), judged=False)
        return tuple(
            sorted({rule.program for result in results for rule in result.rules if rule.builtin_reply is None})
        )

    def verify(self, manifest: Manifest) -> None:
        """Raise :class:`ImageError` unless the image has every program that a rule runs."""
        rows = {entry.path: entry for entry in manifest.entries}
        for program in map(JailPath, self.programs()):
            if self.config.root == Root.LIVE and in_live_root(program):
                continue
            entry = find(rows, program)
            if entry is None or entry.kind not in WITH_CONTENT or not entry.mode & 0o111:
                raise ImageError(f"jail {self.name}", f"{program} is not a program in the image, but a rule runs it")

    def results(self, account: Account) -> tuple[PluginResult, ...]:
        """Return what the plugins give to ``account``; raises where two of them cannot both keep their word."""
        known: dict[Account, tuple[float, tuple[PluginResult, ...]]] = self.__dict__.setdefault("_known", {})
        since, results = known.get(account, (0.0, ()))
        if not since or time.monotonic() - since > _KEPT:
            results = self._given(account)
            refuse_sessions(self.config, results)
            refuse_clashes(self.config, results, account)
            for old in (account, *list(known)[: 1 - _FEW]):
                known.pop(old, None)
            known[account] = time.monotonic(), results
        return results

    def _given(self, account: Account, *, judged: bool = True) -> tuple[PluginResult, ...]:
        """Return what the plugins give; without ``judged`` to one who has every right, as no account need have."""
        seen = entries(self.config, account, self.host, judged=judged)

        def answer(plugin: Plugin, values: Mapping[str, Value]) -> PluginResult:
            return denial(plugin, values, seen, self.config) or plugin.account(self.facts, account, values)

        results = tuple(self._ask(p, partial(answer, p), PluginResult, account, seen) for p in self.plugins)
        if seen is not None:
            results = show(self.config, self.plugins, results, seen, account)
            results = with_library(self.config, results, seen, Layout().made_library, self.host)
        self._refuse_unlogged(results)
        for plugin in self.plugins:
            if not any(option.listed == Listed.INSIDE for option in plugin.options):
                continue
            name, text = outside(plugin.options, self._values(plugin, account, seen), results, account)
            if name:
                error = ConfigError(f"[{plugin.name}] {name}", f"{text} is not in a directory that the jail shows")
                raise locate(self.config, plugin.name, error)
        return results

    def _refuse_unlogged(self, results: Sequence[PluginResult]) -> None:
        """Raise where a plugin tells something to the journal that nothing would take there."""
        for plugin, given in zip(self.plugins, results, strict=True):
            if given.logs and not self.config.log:
                why = "does what the journal must tell of, and the jail logs nothing"
                hint = "write log = yes at the top of the jail's file; see jailssh-relay(8)"
                raise locate(self.config, plugin.name, ConfigError(f"[{plugin.name}]", why, hint=hint))

    def ports(self) -> Ports | None:
        """Return what sshd forwards for accounts in the jail instead of a session, None for a jail with sessions."""
        return next((result.ports for result in self.results(SAMPLE_ACCOUNT) if result.ports), None)

    def trials(self, account: Account) -> dict[str, tuple[Trial, ...] | None]:
        """Return what each plugin announces to be tried for ``account``, None for one that announces nothing."""
        seen = entries(self.config, account, self.host)
        someone = tried(seen, account)
        rules = {name: given.rules for name, given in zip(self.config.plugins, self.results(account), strict=True)}
        interactive = {name: any(rule.interactive_login for rule in each) for name, each in rules.items()}

        def of(plugin: Plugin) -> tuple[Trial, ...] | None:
            if not isinstance(plugin, Tried):
                return None
            # Who has a shell has the home that passwd(5) says.
            if someone is None or (someone is not account and interactive[plugin.name]):
                return ()
            question = partial(plugin.trials, self.facts, someone)
            return self._ask(plugin, question, tuple[Trial, ...], account, seen)

        return {plugin.name: of(plugin) for plugin in self.plugins}

    def on_host(self, account: Account, place: str) -> str:
        """Return the directory of the host that the jail of ``account`` shows at ``place``."""
        binds = [bind for result in self.results(account) for bind in result.binds if is_below(place, bind.path)]
        if not binds:
            return account.on_host(place)
        nearest = max(binds, key=lambda bind: len(bind.path))
        return account.source_of(nearest) + place[len(nearest.path) :]

    def words(self) -> frozenset[str]:
        """Return every word in a setting of the jail's plugins: all that any right can be given to is among them."""
        values = chain.from_iterable(options.values() for options in self.config.options.values())
        texts = chain.from_iterable((v,) if isinstance(v, str) else v for v in values if isinstance(v, str | tuple))
        named = {word for each in self.config.directories for word in each.who}
        return frozenset(word for text in texts for word in text.split()) | named

    def _ask(
        self,
        plugin: Plugin,
        question: Callable[[Mapping[str, Value]], _Answer],
        kind: type[_Answer],
        account: Account | None = None,
        seen: tuple[Entry, ...] | None = None,
    ) -> _Answer:
        """Return what the plugin answers, with its settings as they are for ``account`` where it is about one."""
        try:
            answer = question(self._values(plugin, account, seen))
            if fault := type_mismatch(answer, kind):
                hint = "the plugin is at fault: correct it, or do not use it"
                raise ConfigError(f"plugin {plugin.name}", f"returned a wrong type: {fault}", hint=hint)
            return answer
        except ConfigError as error:
            raise locate(self.config, plugin.name, error) from error
        except (Exception, SystemExit) as error:  # a third party's plugin may raise anything
            raise locate(self.config, plugin.name, raised(plugin.name, error)) from error

    def _values(self, plugin: Plugin, account: Account | None, seen: tuple[Entry, ...] | None) -> Mapping[str, Value]:
        values = self.config.options[plugin.name]
        if account:
            values = expanded(plugin.name, plugin.options, values, account)
            values = filled(plugin.options, values, seen, account) if seen else values
        return values

    def check_plan(
        self, main: MainConfig, account: Account, user: UserConfig | None = None, *, of_key: bool = False
    ) -> None:
        """Raise unless a plan of ``account`` can be made; one ``of_key`` may leave to others what the jail is for."""
        results = self.results(account)
        settings = self.settings(main, user)
        if self.config.linger and not of_key:
            every = self._given(replace(account, roles=self.words() | account.roles), judged=False)
            refuse_useless(self.config, every)
        with self._located():
            compile_plan(account, settings, results, HostPath("/image"), NO_FILTER)

    def check_results(self, account: Account, results: Sequence[PluginResult]) -> None:
        """Do as :meth:`check_plan` for one whose plan says nothing else than another's but for directories."""
        with self._located():
            check_results(account, self.name, results)

    @contextmanager
    def _located(self) -> Iterator[None]:
        """Have errors of the plan compiler name the line that they are about."""
        try:
            with in_file(self.config.file):
                yield
        except ConfigError as error:
            if isinstance(error.__cause__, RuleError):
                raise locate_rules(self.config, error.__cause__) from error
            raise

    def limits(self, user: UserConfig | None) -> Mapping[str, Item]:
        """Return the limits of an account in the jail by name: the jail's, in the place of some its own."""
        return {**self.config.access, **(user.access if user else {})}

    def settings(self, main: MainConfig, user: UserConfig | None = None) -> JailSettings:
        """Return what the plan compiler needs to know of the configuration; ``user`` may have limits of its own."""
        config, host = self.config, self.host
        shares = config.forward == Forward.INSIDE or config.network == Network.OUTBOUND
        limits = self.limits(user)
        refuse_bounds(config, limits)
        memory, cpus = what_is_there(config)
        return JailSettings(
            config.name,
            network=Network.ACCOUNT if shares else config.network,
            hostname=config.hostname,
            message=config.message,
            tmp_size=config.tmp_size,
            umask=config.umask,
            limits=rlimits(config, self.root),
            env=config.env,
            supplementary_groups=config.supplementary_groups,
            require_journal=main.require_journal,
            live=live_tops() if config.root == Root.LIVE else (),
            hide=tuple(map(JailPath, config.inaccessible_paths)),
            access=access_of(limits, main.bandwidth, partial(local_offsets, self.root)),
            accept_env=config.accept_env,
            memory=memory,
            cpus=cpus,
            linger=config.linger,
            record=config.record,
            recordings=HostPath(Layout(self.root).recordings),
            record_size=config.record_size,
            log=log_rate_of(limits) if config.log else None,
            services=config.services,
            crontabs=crontab_place(config, main),
            members={name: host.members(name) for name in config.supplementary_groups} if config.group_members else {},
        )
