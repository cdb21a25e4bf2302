"""How an account is used, by one person or by many that are told apart by their keys, and the plans for that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace

from jailssh.config.files import MainConfig, UserConfig
from jailssh.config.keys import Keyring
from jailssh.config.limits import quota_of
from jailssh.config.reader import Item
from jailssh.core.closed import Recorded
from jailssh.core.errors import ConfigError
from jailssh.core.names import HostPath, JailPath
from jailssh.jail.configuration import Configuration
from jailssh.jail.definition import JailDefinition
from jailssh.jail.holders import Holder
from jailssh.jail.this_host import SAMPLE_ACCOUNT
from jailssh.plan import codec, ops
from jailssh.plan.compile import (
    JailSettings,
    RosterKey,
    compile_plan,
    compile_roster,
    network_of,
    runs_own_code,
)
from jailssh.plan.view import tops_of
from jailssh.plugin.api import Account, PluginResult
from jailssh.policy.seccomp import filter_for
from jailssh.publish.plan_files import AccountPlans, keys_of
from jailssh.publish.quotas import Wanted


@dataclass(frozen=True)
class InForce:
    """An account that has the plan that it would get: its uid and jails."""

    uid: int
    jails: tuple[str, ...]


@dataclass(frozen=True)
class Use:
    """What the configuration says about one account's logins.

    ``results``: what the plugins give to each holder of its keys, or to the account itself.
    """

    account: Account
    _: KW_ONLY
    jails: tuple[str, ...]
    definition: JailDefinition
    user: UserConfig | None
    ring: Keyring
    results: Mapping[Holder, tuple[PluginResult, ...]]
    by_groups: tuple[tuple[int, bool], ...] = ()

    @classmethod
    def of(cls, configuration: Configuration, account: Account) -> Use:
        """Return it; raises as :meth:`Configuration.jails_for` and for errors in the jail or the key ring."""
        jails = configuration.jails_for(account)
        user = configuration.user(account.name)
        account = configuration.placed(account, user)
        definition = configuration.definition(jails)
        ring = configuration.keyring(account.name)
        results = {each: each.results() for each in configuration.holders(definition, account, ring, user)}
        by_groups = configuration.by_groups(account)
        return cls(
            account, jails=jails, definition=definition, user=user, ring=ring, results=results, by_groups=by_groups
        )

    def is_current(self, configuration: Configuration) -> bool:
        """True if the account's own files still say the same."""
        name = self.account.name
        said = (configuration.jails_for(self.account), configuration.user(name), configuration.keyring(name))
        return said == (self.jails, self.user, self.ring)

    def tops(self) -> tuple[JailPath, ...]:
        """Return the directories that the image must have as mount points."""
        return tuple(sorted({top for given in self.results.values() for top in tops_of(self.account, given)}))

    def records(self) -> bool:
        """True if sessions of somebody are recorded."""
        return any(holder.definition.config.record != Recorded.NO for holder in self.results)

    def capabilities(self) -> tuple[str, ...]:
        """Return what somebody can do with the account, for people."""
        return tuple(dict.fromkeys(result.capability for given in self.results.values() for result in given))

    def terminal(self) -> bool:
        """True if somebody gets a terminal."""
        every = [result for given in self.results.values() for result in given]
        return any(result.pty or any(rule.interactive_login for rule in result.rules) for result in every)

    def compile(self, main: MainConfig, image: HostPath) -> AccountPlans:
        """Return the plans, with the image at this host path."""
        settings = replace(self.definition.settings(main, self.user), by_groups=self.by_groups)
        plans = {holder: self._plan(holder, settings, main, image) for holder in self.results}
        if not self.ring.keys:
            (plan,) = plans.values()
            return AccountPlans(plan, {})
        serials = {name: plan.serial for holder, plan in plans.items() for name in holder.names}
        roster = compile_roster(self.account, settings, _roster_keys(self.ring, serials))
        return AccountPlans(roster, {plan.serial: plan for plan in plans.values()})

    def quota(self, made: AccountPlans) -> Wanted:
        """Return what the account is to be held to on the file systems that its plans ``made`` let it write to."""
        items = self.items()
        amounts = quota_of(items)
        binds = [record.args for plan in (made.plan, *made.of_keys.values()) for record in plan.records
                 if record.verb == "bind" and record.args[2] == "rw"] if amounts else []  # fmt: skip
        origin = next((items[name].origin for name in amounts), "")
        directories = tuple(sorted({args[0] for args in binds}))
        return Wanted(self.account.name, self.account.uid, amounts=amounts, origin=origin, directories=directories)

    def items(self) -> Mapping[str, Item]:
        """Return the limits of the account by name."""
        return self.definition.limits(self.user)

    def _plan(self, holder: Holder, settings: JailSettings, main: MainConfig, image: HostPath) -> codec.Plan:
        if self.ring.keys:
            # A job is nobody's who shares the account.
            settings = replace(holder.settings(main), crontabs=None)
        given = self.results[holder]
        seccomp = filter_for(network_of(settings, given), ipc=runs_own_code(given))
        return compile_plan(self.account, settings, given, image, seccomp)


def _roster_keys(ring: Keyring, serials: Mapping[str, str]) -> list[RosterKey]:
    return [
        RosterKey(name, serials[name], key.blob, principal)
        for name, keys in ring.keys.items()
        for key in keys
        for principal in key.principals or ("",)
    ]


def of_nobody(definition: JailDefinition, main: MainConfig, image: HostPath) -> str:
    """Return the serial of the plan that an account without a file of its own would have, and who its groups have.

    It is another text where anything is that all plans of the jail rest on: programs of the host, its memory and time
    zone, members of groups that an account may keep.  Raises as compiling does.
    """
    settings, results = definition.settings(main), definition.results(SAMPLE_ACCOUNT)
    made = filter_for(network_of(settings, results), ipc=runs_own_code(results))
    serial = compile_plan(SAMPLE_ACCOUNT, settings, results, image, made).serial
    return f"{serial} {sorted(settings.members.items())}"


def check_sources(plan: codec.Plan, jail: str) -> None:
    """Raise for a directory of the host that the jail shows and that is not there: every login would be refused."""
    for record in plan.records:
        if record.verb == "bind" and record.args[4:] == ("root", "must") and not os.path.isdir(record.args[0]):
            raise no_source(jail, record.args[0])


def no_source(jail: str, path: str) -> ConfigError:
    """Return what is wrong where a jail shows ``path`` of the host, and that is not a directory."""
    hint = f"create it, owned by the account that writes: mkdir -p {path}"
    return ConfigError(f"jail {jail}", f"{path!r} is not a directory", hint=hint)


def difference(old: AccountPlans | None, new: AccountPlans) -> list[str]:
    """Return what changes for people, as :func:`jailssh.plan.codec.diff` does; once for keys with the same change."""
    if old == new:
        return []
    before, after = keys_of(old.plan) if old else {}, keys_of(new.plan)
    if old is None or bool(before) != bool(after):
        was = f"- the plans of the keys {', '.join(before)}" if before else "- the plan"
        lines, old = [was] if old else [], None
    else:
        lines = codec.diff(_head(old.plan), _head(new.plan)) if after else []
    if not after:
        return lines + codec.diff(old.plan if old else None, new.plan)
    moved: dict[tuple[str, str], list[str]] = {}
    for name, serial in after.items():
        if before.get(name) != serial:
            moved.setdefault((before.get(name, ""), serial), []).append(name)
        elif old and _means(old.plan, name) != _means(new.plan, name):
            lines.append(f"~ key {name}: other keys or principals")
    for (was, now), names in moved.items():
        lines.append(f"~ key {', '.join(names)}:" if was else f"+ key {', '.join(names)}:")
        lines += [f"  {line}" for line in codec.diff(old.of_keys.get(was) if old else None, new.of_keys[now])]
    return lines + [f"- key {name}" for name in before if name not in after]


def _head(plan: codec.Plan) -> codec.Plan:
    return replace(plan, records=tuple(record for record in plan.records if record.verb not in ops.ROSTER))


def _means(plan: codec.Plan, name: str) -> set[tuple[str, ...]]:
    """Return by which keys and certificates this name logs in."""
    return {r.args[2:] for r in plan.records if r.verb in ops.ROSTER and r.args[0] == name}
