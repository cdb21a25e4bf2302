"""What an administrator would change so that a command is allowed: settings are tried, the matcher decides.

Nothing here knows a plugin.  The settings of the account's jail are varied one at a time, then two together, then
with one more plugin; each variation is compiled to a plan in memory, and the login program's own matcher is asked
about the command.  So what is proposed is known to work as far as rules go, and the fewest changes come first.
Nothing is written.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from itertools import chain, combinations, count

from jailssh.config.reader import Document
from jailssh.config.rights import RIGHTS, file_of, read_rights
from jailssh.config.settings import HOLDS_PATHS, SettingKind
from jailssh.config.values import Raw, defaults, parse
from jailssh.core.errors import ConfigError, JailsshError
from jailssh.core.names import HostPath, is_below, is_clean_absolute
from jailssh.host import matcher
from jailssh.jail.configuration import Configuration
from jailssh.jail.definition import NO_FILTER, JailDefinition
from jailssh.jail.holders import Holder
from jailssh.jail.meeting import clashes
from jailssh.jail.profiles import SUFFIX, shipped_profiles
from jailssh.plan import codec
from jailssh.plan.compile import compile_plan
from jailssh.plugin.api import Account, Jail, Option, Plugin, PluginResult, Value
from jailssh.policy.rules import ANY, Rule
from jailssh.policy.value_class import choices

_MOST_PATHS = 4
"""So many paths of one command are tried one by one."""
_MOST_KEPT = 1 << 12
"""So many answers of plugins are kept: most are about the paths of one command."""


@dataclass(frozen=True)
class SettingChange:
    """One setting of a jail: ``raw`` as in a jail file now, ``before`` and ``origin`` what it was and said where.

    Where a table of rights is a file of its own, ``table`` is its path and ``raw`` the lines to add there.
    """

    plugin: str
    option: str
    raw: Raw
    _: KW_ONLY
    before: Raw = ""
    origin: str = ""
    table: str = ""


@dataclass(frozen=True)
class Remedy:
    """Plugins to add and settings to change; ``lacks`` is what this host needs for it ("" for nothing).

    ``guess``: the command does not say which directory it means, so any would do and the one named is made up.
    """

    plugins: tuple[str, ...] = ()
    changes: tuple[SettingChange, ...] = ()
    lacks: str = ""
    guess: bool = False

    def plus(self, *others: Remedy) -> Remedy:
        """Return all together; of paths and lines the union, a directory in another one of them once."""
        every = (self, *others)
        found: dict[tuple[str, str], list[SettingChange]] = {}
        for change in (change for each in every for change in each.changes):
            found.setdefault((change.plugin, change.option), []).append(change)
        changes = tuple(
            replace(several[-1], raw=_union(several[0].raw, *(change.raw for change in several[1:])))
            for several in found.values()
        )
        plugins = tuple(sorted({plugin for each in every for plugin in each.plugins}))
        lacks = next((each.lacks for each in every if each.lacks), "")
        return Remedy(plugins, changes, lacks, any(each.guess for each in every))


class Trials:
    """An account's jail as the configuration says it, and variations of it."""

    def __init__(self, configuration: Configuration, account: Account, holder: Holder | None = None) -> None:
        self._configuration = configuration
        self.names = configuration.jails_for(account)
        definition = configuration.definition(self.names)
        user = configuration.user(account.name)
        # Of a shared account as such, with all that its jail says.
        self.holder = holder or Holder(configuration.placed(account, user), definition=definition, user=user)
        self.account = self.holder.account
        self.definition: JailDefinition = self.holder.definition
        self._items = {(item.setting.section, item.setting.name): item for item in self.definition.config.items}
        self._jail = self.holder.settings(configuration.main)
        self._cache: dict[object, PluginResult] = {}
        self._made: tuple[Remedy, bytes] | None = None
        self._holders: dict[str, Trials | None] = {}

    def of(self, key: str) -> Trials | None:
        """Return the same for who has the named key of the account, "" for an account that is not shared.

        None where there is no such key (any more), or the account is shared and no key is named.
        """
        if key not in self._holders:
            found = self._configuration.holder(self.account, key)
            self._holders[key] = None if found is None else Trials(self._configuration, self.account, found)
        return self._holders[key]

    @property
    def shared(self) -> bool:
        """True if keys of the account have names."""
        return bool(self._configuration.keyring(self.account.name).keys)

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the groups of the account's named keys, each with its members."""
        ring = self._configuration.keyring(self.account.name)
        names = sorted({group for groups in ring.groups.values() for group in groups})
        return {name: tuple(key for key in ring.keys if name in ring.groups[key]) for name in names}

    def is_table(self, change: SettingChange) -> bool:
        """True if a change adds lines to a table of rights."""
        options = self._configuration.registry.get(change.plugin).options
        return any(option.name == change.option and option.kind == SettingKind.RIGHTS for option in options)

    def judge(self, remedy: Remedy, command: str | None) -> matcher.Verdict:
        """Return what the matcher says with ``remedy``; raises :class:`JailsshError` where that cannot be a jail."""
        # Thousands of commands may be judged by one remedy.
        if self._made is None or self._made[0] is not remedy:
            plan = compile_plan(self.account, self._jail, self._results(remedy), HostPath("/image"), NO_FILTER)
            self._made = remedy, codec.encode(plan)
        return matcher.judge(self._configuration.layout, self._made[1], command)

    def remedy(self, command: str | None, words: Sequence[str]) -> Remedy | None:
        """Return the smallest change that allows ``command``, split into ``words``; None where none is found.

        A shell, which takes every command, is no remedy for a command.
        """
        present = self.definition.config.plugins
        others = [name for name in sorted(self._configuration.registry.plugins) if name not in present]
        for number in (1, 2):
            for name in present:
                for changes in combinations(self._candidates(name, words), number):
                    if self._helps(found := Remedy((), changes), name, command, words):
                        return self._made_plain(found, name, command, words)
        for number in (0, 1, 2):
            for name in others:
                for changes in combinations(self._candidates(name, words), number):
                    found = Remedy((name,), changes, self.lacks(name, changes))
                    if self._helps(found, name, command, words):
                        return self._made_plain(found, name, command, words)
        return None

    def takers(self, words: Sequence[str]) -> dict[str, str]:
        """Return the plugins that have a rule for the first word under some setting, and what is in their way here.

        Where a setting cannot be, that is the configuration's error, else "".
        """
        found: dict[str, str] = {}
        for name in sorted(self._configuration.registry.plugins):
            plugin = self._configuration.registry.get(name)
            for changes in [(), *((each,) for each in self._candidates(name, words))]:
                fresh = defaults(plugin.options)
                fresh.update(self._values_of(plugin, changes))
                try:
                    rules = plugin.account(self._facts((name,)), self.account, fresh).rules
                except JailsshError:
                    continue
                if words[0] in _first_words(rules):
                    found[name] = found.get(name) or self._obstacle(name, changes)
        return found

    def _obstacle(self, name: str, changes: Sequence[SettingChange]) -> str:
        try:
            self._result(name, changes, self._facts((*self.definition.config.plugins, name)))
        except JailsshError as error:
            return str(error)
        return ""

    def _made_plain(self, found: Remedy, name: str, command: str | None, words: Sequence[str]) -> Remedy:
        """Return ``found`` with a directory after the plugin, where the command's words do not decide about it."""
        kinds = {option.name: option.kind for option in self._configuration.registry.get(name).options}
        changes = []
        for change in found.changes:
            kind = kinds[change.option]
            added: Raw = (f"~/{name}",) if kind == SettingKind.PATHS else f"~/{name}"
            changes.append(self.change(name, change.option, added) if kind in HOLDS_PATHS else change)
        plain = replace(found, changes=tuple(changes), guess=True)
        return plain if changes != [*found.changes] and self._helps(plain, name, command, words) else found

    def own_file(self) -> str:
        """Return the administrator's file of the jail; "" for a profile, a plugin's own name or several together."""
        if len(self.names) != 1 or not isinstance(
            document := self._configuration.documents.get(self.names[0]), Document
        ):
            return ""
        path = self.file_of(self.names[0])
        return path if document.file == path else ""

    def profile(self) -> str:
        """Return the shipped profile that the jail is, "" if it is something else."""
        name = self.names[0]
        return name if len(self.names) == 1 and name in shipped_profiles() and not self.own_file() else ""

    def new_name(self) -> str:
        """Return a name that no jail or plugin has, after the account."""
        base = re.sub(r"[^a-z0-9_.-]", "-", self.account.name.lower()).lstrip("_.-")[:50] or "jail"
        taken = {*self._configuration.documents, *self._configuration.registry.plugins}
        return next(name for name in chain([base], (f"{base}-{number}" for number in count(2))) if name not in taken)

    def file_of(self, jail: str) -> str:
        """Return the path of the administrator's file for a jail of this name."""
        return f"{self._configuration.layout.jails}/{jail}{SUFFIX}"

    def plugins_with_shell(self) -> list[str]:
        """Return the plugins that give an account a shell, which runs any command."""
        return [name for name in sorted(self._configuration.registry.plugins) if self._takes_all(name)]

    def _takes_all(self, name: str) -> bool:
        try:
            result = self._result(name, (), self._facts((name,)))
        except JailsshError:
            return False
        return any(ANY in rule.command_names for rule in result.rules)

    def _helps(self, remedy: Remedy, plugin: str, command: str | None, words: Sequence[str]) -> bool:
        """True if the plugin has a rule for such a command at all, and the matcher allows this one by it."""
        changed = [change.option for change in remedy.changes]
        if len(set(changed)) < len(changed):
            return False
        try:
            mine = self._result(plugin, remedy.changes, self._facts((*self.definition.config.plugins, plugin)))
            if command is None:
                fits = any(rule.interactive_login for rule in mine.rules)
            else:
                fits = bool(words) and words[0] in _first_words(mine.rules)
            if not fits:
                return False
            verdict = self.judge(remedy, command)
        except JailsshError:
            return False
        return verdict.allowed and verdict.plugin == plugin

    def lacks(self, name: str, changes: Sequence[SettingChange]) -> str:
        """Return what keeps a plugin from working here that is no matter of its settings, "" for nothing."""
        try:
            host = self._configuration.host
            self._result(name, changes, Jail(self.definition.name, (name,), host.find_program, host.version_of))
        except JailsshError as error:
            return f"{error.what}: {error.why}" + (f" ({error.hint})" if error.hint else "")
        return ""

    def _results(self, remedy: Remedy) -> tuple[PluginResult, ...]:
        names = tuple(sorted({*self.definition.config.plugins, *remedy.plugins}))
        facts = self._facts(names)
        grouped = {name: tuple(change for change in remedy.changes if change.plugin == name) for name in names}
        results = tuple(self._result(name, grouped[name], facts) for name in names)
        if not self.definition.config.shared_directories and (found := clashes(names, results, self.account)):
            raise ConfigError(f"jail {self.definition.name}", found[0].why(), hint=found[0].hint())
        return results

    def _facts(self, names: Iterable[str]) -> Jail:
        return Jail(self.definition.name, tuple(sorted(set(names))), self._program, self._configuration.host.version_of)

    def _program(self, name: str) -> str | None:
        """Return the program of this host, or where it would be: rules can be made for one that is not installed."""
        there = self._configuration.host.find_program(name)
        return there or (name if is_clean_absolute(name) else None if "/" in name else f"/usr/bin/{name}")

    def _result(self, name: str, changes: Sequence[SettingChange], facts: Jail) -> PluginResult:
        key = (name, tuple(changes), facts.plugins, facts.find_program)
        if key not in self._cache:
            if len(self._cache) >= _MOST_KEPT:
                self._cache.clear()
            plugin = self._configuration.registry.get(name)
            self._cache[key] = plugin.account(facts, self.account, self._settings(plugin, changes))
        return self._cache[key]

    def _settings(self, plugin: Plugin, changes: Sequence[SettingChange]) -> Mapping[str, Value]:
        known = self.definition.config.options.get(plugin.name)
        settings = dict(known) if known is not None else defaults(plugin.options)
        return {**settings, **self._values_of(plugin, changes)}

    def _values_of(self, plugin: Plugin, changes: Sequence[SettingChange]) -> dict[str, Value]:
        kinds = {option.name: option.kind for option in plugin.options}
        known = self.definition.config.options.get(plugin.name, {})
        values: dict[str, Value] = {}
        for change in changes:
            kind, now = kinds[change.option], known.get(change.option, ())
            lines = _table(change.raw) if kind == SettingKind.RIGHTS else ()
            kept = now if isinstance(now, tuple) and change.table else ()
            values[change.option] = (*kept, *lines) if kind == SettingKind.RIGHTS else parse(kind, change.raw)
        return values

    def change(self, plugin: str, option: str, added: Raw) -> SettingChange:
        """Return the change that sets an option, or adds to one that holds several values."""
        item = self._items.get((plugin, option))
        before: Raw = item.raw if item else ""
        table = file_of(before) if item and item.setting.kind == SettingKind.RIGHTS else ""
        raw = _union("" if table else before, added) if isinstance(added, tuple) else added
        return SettingChange(plugin, option, raw, before=before, origin=item.origin if item else "", table=table)

    def _candidates(self, name: str, words: Sequence[str]) -> list[SettingChange]:
        plugin = self._configuration.registry.get(name)
        paths = candidate_paths(words, self.account.home) if words else []
        settings = self._settings(plugin, ())
        # Where a table of rights decides, directories only say what its lines mean.
        tabled = any(settings[option.name] for option in plugin.options if option.kind == SettingKind.RIGHTS)
        found = []
        for option in plugin.options:
            if tabled and option.kind == SettingKind.PATHS:
                continue
            values = self._lines(words) if option.kind == SettingKind.RIGHTS else self._values(plugin, option, paths)
            found += [self.change(name, option.name, value) for value in values]
        return found

    def _lines(self, words: Sequence[str]) -> Iterator[Raw]:
        """Yield lines that give the account, or the holder of its key, a right to what the last word names."""
        who = min((role for role in self.account.roles if not role.startswith("@")), default=self.account.name)
        name = _plain(words[-1]) if words else ""
        # A pattern means more than the one that was asked for, and what a line takes for a blank names somebody else.
        if "*" in name or name.split() != [name]:
            return
        for right in RIGHTS:
            if lines := _table(f"{right} {name} {who}"):
                yield lines

    def _values(self, plugin: Plugin, option: Option, paths: Sequence[str]) -> Iterator[Raw]:
        """Yield what an option could be instead, the smallest first."""
        now = self._settings(plugin, ())[option.name]
        if option.kind == SettingKind.BOOL:
            yield "no" if now else "yes"
        elif listed := choices(option.kind):
            yield from (choice for choice in listed if choice != now)
        elif option.kind == SettingKind.PATHS:
            yield from ((path,) for path in paths[:_MOST_PATHS])
            if len(paths) > 1:
                yield tuple(reversed(paths))
        elif option.kind == SettingKind.PATH:
            yield from paths[:_MOST_PATHS]
            if now:
                yield ""
        elif option.kind in (SettingKind.WORD, SettingKind.OPTIONAL_SIZE) and now not in ("", -1):
            yield ""


def _plain(path: str) -> str:
    """Return the name by which a table means a repository, with ".git" or not."""
    path = path.rstrip("/")
    return path if path.endswith("/.git") else path.removesuffix(".git")


def _table(raw: Raw) -> tuple[str, ...]:
    """Return the lines of a table of rights that stand in a jail file; a faulty one is left out."""
    return tuple(line.text for line in read_rights(raw, "", {}, []))


def _first_words(rules: Iterable[Rule]) -> set[str]:
    return {word.split()[0] for rule in rules for word in rule.command_names}


def candidate_paths(words: Sequence[str], home: str) -> list[str]:
    """Return directories as a jail file would name them, for what in ``words`` may be a path, the last word first.

    A path in the home is taken as it is, unless it is a file there; outside of it only a directory that exists can
    be shown, so it is the nearest one.  Without any, it is the home.
    """
    found: dict[str, None] = {}
    for word in reversed(words[1:]):
        text = word.partition("=")[2] if word.startswith("--") else word
        if text in ("", ".") or text.startswith("-"):
            continue
        if text == "~" or text.startswith("~/"):
            text = home + text[1:]
        path = os.path.normpath(text if text.startswith("/") else f"{home}/{text}")
        if ".." in text.split("/") or not path.isprintable() or not is_clean_absolute(path) or not _is_quotable(path):
            continue
        directory = path if is_below(path, home) and not os.path.isfile(path) else _directory(path)
        if directory != "/":
            found[_as_written(directory, home)] = None
    return list(found) or ["~"]


def _is_quotable(path: str) -> bool:
    """True for what a jail file can hold between quotes of one kind, so that it is read as the one path that it is."""
    return not ('"' in path and "'" in path) and '"""' not in path and "'''" not in path


def _directory(path: str) -> str:
    while path != "/" and not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _as_written(path: str, home: str) -> str:
    return "~" + path[len(home) :] if is_below(path, home) else path


def added(change: SettingChange) -> tuple[str, ...]:
    """Return what of a list the change adds to what is there."""
    before = frozenset() if change.table else frozenset(_parts(change.before))
    return tuple(part for part in _parts(change.raw) if part not in before)


def _parts(raw: Raw) -> tuple[str, ...]:
    parts = (raw,) if isinstance(raw, str) else raw
    return tuple(part.strip() for part in parts if part.strip())


def _union(before: Raw, *added: Raw) -> Raw:
    """Return all, in order; what lies in a directory that is named too is left out.  A single text replaces."""
    last = next((at for at in reversed(range(len(added))) if isinstance(added[at], str)), -1)
    if last >= 0:
        before, added = added[last], added[last + 1 :]
    if not added:
        return before
    every = dict.fromkeys(chain(_parts(before), *added))
    paths = {part: part.rstrip("/") for part in every if part.startswith(("/", "~"))}
    known = set(paths.values())
    inner = {part for part, path in paths.items() if any(path[:at] in known for at in _slashes(path))}
    return tuple(part for part in every if part not in inner)


def _slashes(path: str) -> Iterator[int]:
    return (at for at, char in enumerate(path) if char == "/")
