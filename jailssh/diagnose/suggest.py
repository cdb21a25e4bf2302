"""From denied commands to the smallest settings that would have allowed them, as text for a jail file.

First the settings of plugins (:mod:`jailssh.diagnose.trials`); for a program that no plugin takes, a line of the plugin
``command``.  Everything proposed was tried with the matcher, alone and together.  Nothing is written.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace

from jailssh.config.values import Raw
from jailssh.core.errors import JailsshError
from jailssh.core.journal_fields import KEY, REASON, REASONS
from jailssh.core.names import escape
from jailssh.diagnose.trials import Remedy, SettingChange, Trials, added, candidate_paths
from jailssh.host import matcher
from jailssh.host.journal import JournalRecord
from jailssh.plugin.api import Right
from jailssh.policy.lines import Words, alike, lines_for

COMMAND = "command"
"""The plugin that takes the administrator's own lines."""

_MOST_LINES = 4
"""So many lines of one program are proposed before one line for all of them is tried."""

_MOST_SHOWN = 8
_SHOWN = 200
_BARE = re.compile(r"[A-Za-z0-9_./~@+=:-]+\Z")
_TOGETHER = "the setting that allows it conflicts with the settings above"
_NO_KEY = "the account no longer has this key"
_NO_NAME = "the account is shared, and the record has no key name"
# What the matcher, which sees text alone, cannot find out, and no setting lifts.
_OUTSIDE = ("path-leaves-root", "no-terminal", "no-such-repository", "repository-exists", "repository-name")
# What is denied before anybody looks at the command, and no setting of a plugin lifts.
_LIMITS = ("sessions", "sessions-of-key", "address", "hours", "expired")


@dataclass(frozen=True)
class Asked:
    """A denied command (None: an interactive login), how often and when it was asked, the last denial's reason.

    ``key``: by which named key, in a shared account.
    """

    command: str | None
    _: KW_ONLY
    count: int
    first: str
    last: str
    reason: str
    cut_short: bool = False
    key: str = ""

    @property
    def times(self) -> str:
        """How often and when it was asked, for people."""
        by = f" by {escape(self.key, _SHOWN)}" if self.key else ""
        if self.count == 1:
            return f"requested once{by}, {self.first}"
        return f"requested {self.count} times{by}, {self.first} to {self.last}"

    def __str__(self) -> str:
        return f"{self.times}: {shown(self.command)}"


@dataclass(frozen=True)
class ForGroup:
    """A line of a table for a group of keys in place of one for some of them; ``others`` would get the right too."""

    plugin: str
    option: str
    _: KW_ONLY
    line: str
    instead_of: str
    group: str
    others: tuple[str, ...]

    def __str__(self) -> str:
        more = f", which also gives it to {', '.join(self.others)}" if self.others else ", which are all its keys"
        return f"or for the group {self.group}{more}: {self.line} (instead of: {self.instead_of})"


Wanted = tuple[Remedy, Sequence[Asked]]
"""A remedy, and what was asked that it allows."""


@dataclass
class Suggestion:
    """The ``remedy`` for all, by whom each of its settings is needed, and what has no remedy and why."""

    remedy: Remedy = field(default_factory=Remedy)
    _: KW_ONLY
    needed: dict[tuple[str, str], list[Asked]] = field(default_factory=dict)
    allowed: list[Asked] = field(default_factory=list)
    impossible: list[tuple[Asked, str]] = field(default_factory=list)
    guesses: list[str] = field(default_factory=list)
    for_groups: list[ForGroup] = field(default_factory=list)

    def add(self, found: Sequence[Wanted]) -> None:
        """Take remedies that were tried together with what is there."""
        self.remedy = self.remedy.plus(*(remedy for remedy, _ in found))
        for remedy, asked in found:
            for change in remedy.changes or [SettingChange(plugin, "", "") for plugin in remedy.plugins]:
                self.needed.setdefault((change.plugin, change.option), []).extend(asked)
            if remedy.guess:
                self.guesses += [f"{change.plugin} {change.option}" for change in remedy.changes]


def shown(command: str | None) -> str:
    """Return a command for one line of a jail file's comment or of a terminal."""
    if command is None:
        return "an interactive login"
    # A jail file takes no triple quotes, not even in a comment.
    return re.sub(r"('''|\"\"\")", "…", escape(command, _SHOWN))


def group(records: Iterable[JournalRecord]) -> list[Asked]:
    """Return what denied records asked for, each command of each key once, in the order of its first time."""
    found: dict[tuple[str, str | None, str], list[JournalRecord]] = {}
    for record in records:
        # What a limit denies was not looked at, so it is no word about the same command at another time.
        reason = record.get(REASON) if record.get(REASON) in _LIMITS else ""
        found.setdefault((record.get(KEY), record.command(), reason), []).append(record)
    return [
        Asked(command, count=len(each), first=each[0].when, last=each[-1].when, reason=each[-1].get(REASON),
              cut_short=any(one.cut_short for one in each), key=key)
        for (key, command, _), each in found.items()
    ]  # fmt: skip


def suggest(trials: Trials, asked: Sequence[Asked]) -> Suggestion:
    """Return the smallest remedy for all that was asked; raises :class:`JailsshError` for a broken configuration."""
    out = Suggestion()
    unknown: dict[str, list[tuple[Asked, Words]]] = {}
    wanted: dict[Remedy, list[Asked]] = {}
    for each in asked:
        mine = trials.of(each.key)
        if mine is None:
            out.impossible.append((each, _NO_KEY if each.key else _NO_NAME))
        elif each.reason in _LIMITS:
            out.impossible.append((each, f"{REASONS[each.reason]}; this is a limit, not a rule"))
        elif each.cut_short:
            out.impossible.append((each, "the journal contains only its beginning"))
        elif words := _settled(trials, mine, out, each, wanted):
            unknown.setdefault(words[0], []).append((each, words))
    _take(trials, out, list(wanted.items()))
    for seen in unknown.values():
        _own_lines(trials, out, seen)
    _as_few_lines(trials, out)
    return out


def _settled(trials: Trials, mine: Trials, out: Suggestion, each: Asked, wanted: dict[Remedy, list[Asked]]) -> Words:
    """Put what was asked where it belongs in ``out``, or into ``wanted`` by its remedy.

    Returns its words where only a line of its own could allow it.
    """
    verdict = mine.judge(Remedy(), each.command)
    if verdict.allowed and each.reason in _OUTSIDE:
        out.impossible.append((each, REASONS[each.reason]))
    elif verdict.allowed:
        out.allowed.append(each)
    elif each.command is None:
        out.impossible.append((each, _needs_a_shell(trials)))
    elif not verdict.words:
        out.impossible.append((each, REASONS.get(verdict.reason, verdict.reason)))
    elif (remedy := mine.remedy(each.command, verdict.words)) is None and (why := blocking_setting(mine, verdict)):
        out.impossible.append((each, why))
    elif remedy is None:
        return verdict.words
    elif remedy.lacks:
        out.impossible.append((each, f"plugin {remedy.plugins[0]} allows it, but {remedy.lacks}"))
    else:
        wanted.setdefault(remedy, []).append(each)
    return ()


def _take(trials: Trials, out: Suggestion, wanted: Sequence[Wanted]) -> None:
    """Take what can be had together, in this order: all at once where that works, else half by half."""
    if not wanted:
        return
    together = out.remedy.plus(*(remedy for remedy, _ in wanted))
    if not _trouble(trials, together, [*(each for _, several in wanted for each in several), *_served(out)]):
        out.add(wanted)
    elif len(wanted) > 1:
        half = len(wanted) // 2
        _take(trials, out, wanted[:half])
        _take(trials, out, wanted[half:])
    else:
        why = _trouble(trials, together, _served(out))
        denied = {each: told for each in wanted[0][1] if (told := why or _trouble(trials, together, [each]))}
        out.impossible += [(each, f"{_TOGETHER}: {told}") for each, told in denied.items()]
        if left := [each for each in wanted[0][1] if each not in denied]:
            out.add([(wanted[0][0], left)])


def _as_few_lines(trials: Trials, out: Suggestion) -> None:
    """Leave out lines of tables that others include, put those for several keys together, and look at their groups."""
    groups = trials.groups()
    for change in [change for change in out.remedy.changes if trials.is_table(change)]:
        lines = dict.fromkeys(added(change))
        kept = tuple(part for part in change.raw if part not in lines)
        who: dict[tuple[str, str], list[str]] = {}
        for right in _needed(trials, out, change, kept, [Right.of(line) for line in lines]):
            who.setdefault((right.right, right.pattern), []).extend(right.who)
        found = {" ".join((*what, *names)): (what, names) for what, names in who.items()}
        out.remedy = _with(out.remedy, change, (*kept, *found))
        for line, (what, names) in found.items():
            fitting = min(((len(keys), name) for name, keys in groups.items() if set(names) <= set(keys)), default=None)
            if len(names) > 1 and fitting is not None:
                others = tuple(key for key in groups[fitting[1]] if key not in names)
                text = " ".join((*what, f"@{fitting[1]}"))
                out.for_groups.append(
                    ForGroup(change.plugin, change.option, line=text, instead_of=line, group=fitting[1], others=others)
                )


def _needed(
    trials: Trials, out: Suggestion, change: SettingChange, kept: Sequence[str], rights: Sequence[Right]
) -> list[Right]:
    """Return those of ``rights`` without which something that was asked would be denied."""
    left = list(rights)
    # Each names one repository, which only another line for the same one can include.
    about = Counter(map(_about, rights))
    for right in rights:
        if about[_about(right)] == 1:
            continue
        fewer = [other for other in left if other is not right]
        lines = [" ".join((other.right, other.pattern, *other.who)) for other in fewer]
        by_them = [each for each in _served(out) if not each.key or each.key in right.who]
        if not _trouble(trials, _with(out.remedy, change, (*kept, *lines)), by_them):
            left = fewer
            about[_about(right)] -= 1
    return left


def _about(right: Right) -> tuple[str, tuple[str, ...]]:
    return os.path.basename(right.pattern), right.who


def _with(remedy: Remedy, change: SettingChange, raw: Sequence[str]) -> Remedy:
    """Return ``remedy`` with another value in the place of this change's."""
    return replace(remedy, changes=tuple(replace(each, raw=tuple(raw)) if each is change else each
                                         for each in remedy.changes))  # fmt: skip


def blocking_setting(trials: Trials, verdict: matcher.Verdict) -> str:
    """Return why a command whose program a plugin takes has no remedy; "" if no plugin takes the program.

    Such a program gets no line of its own: the plugin is there to know what is dangerous about it.
    """
    takers = trials.takers(verdict.words)
    if not takers:
        return ""
    name, obstacle = next(iter(takers.items()))
    if obstacle:
        return f"plugin {name} can allow it, but {obstacle}"
    return f"plugin {name} takes such commands, but no setting allows this one: {verdict.detail}"


def _served(out: Suggestion) -> list[Asked]:
    return list(dict.fromkeys(each for several in out.needed.values() for each in several))


def _needs_a_shell(trials: Trials) -> str:
    names = trials.plugins_with_shell()
    return (
        f"only a shell allows it (plugin {' or '.join(names)}), and it runs any command"
        if names
        else "no plugin allows it"
    )


def _trouble(trials: Trials, remedy: Remedy, asked: Iterable[Asked]) -> str:
    """Return why ``remedy`` does not allow all that was asked, "" if it does."""
    try:
        denied = next((each for each in asked if not _judge(trials, remedy, each)), None)
    except JailsshError as error:
        return str(error)
    return f"{shown(denied.command)} is denied" if denied else ""


def _judge(trials: Trials, remedy: Remedy, each: Asked) -> bool:
    mine = trials.of(each.key)
    return mine is not None and mine.judge(remedy, each.command).allowed


def _own_lines(trials: Trials, out: Suggestion, seen: Sequence[tuple[Asked, Words]]) -> None:
    """Propose lines of the plugin ``command`` for the commands of one program."""
    by_words: dict[Words, list[Asked]] = {}
    for each, words in seen:
        by_words.setdefault(words, []).append(each)
    groups: Sequence[Sequence[Words]] = alike(list(by_words))
    attempts: list[Sequence[Sequence[Words]]]
    if len(groups) > _MOST_LINES:
        attempts = [[list(by_words)], groups, [[words] for words in by_words]]
    else:
        attempts = [groups, [list(by_words)], [[words] for words in by_words]]
    done = next((found for one in attempts if (found := _try_groups(trials, out, one, by_words))), None)
    if done:
        out.add(done)
        return
    # What can be had alone is better than nothing.
    wanted = []
    for words, several in by_words.items():
        if (remedy := _line(trials, out, [words], several)) is not None:
            wanted.append((remedy, several))
        else:
            out.impossible += [(each, _why_not(trials, out, each, words)) for each in several]
    _take(trials, out, wanted)


def _why_not(trials: Trials, out: Suggestion, each: Asked, words: Words) -> str:
    lines = [one for one in line_remedies(trials, [words]) if not one.lacks]
    alone = next((one for one in lines if not _trouble(trials, one, [each])), None)
    if alone is None:
        return why_no_line(trials, each.command, words)
    return f"{_TOGETHER}: {_trouble(trials, out.remedy.plus(alone), [each, *_served(out)])}"


def _try_groups(
    trials: Trials, out: Suggestion, groups: Sequence[Sequence[Words]], by_words: dict[Words, list[Asked]]
) -> list[Wanted]:
    """Return a remedy for each group so that all of them work together; none if one group has no line."""
    found: list[Wanted] = []
    for words in groups:
        asked = [each for one in words for each in by_words[one]]
        if (remedy := _line(trials, out, words, asked)) is None:
            return []
        found.append((remedy, asked))
    together = out.remedy.plus(*(remedy for remedy, _ in found))
    # One alone was tried with the same as together.
    several = [each for _, asked in found for each in asked] if len(found) > 1 else []
    return [] if _trouble(trials, together, [*several, *_served(out)]) else found


def _line(trials: Trials, out: Suggestion, words: Sequence[Words], asked: Sequence[Asked]) -> Remedy | None:
    """Return the narrowest line that takes all ``words``, beside what is in ``out``; None without one."""
    # <text> takes anything: only for a command that can be written in no other way, not to put several into one.
    lines = [one for one in line_remedies(trials, words) if not one.lacks and not (len(words) > 1 and _any(one))]
    return next((one for one in lines if not _trouble(trials, out.remedy.plus(one), asked)), None)


def _any(remedy: Remedy) -> bool:
    return any("<text>" in part for change in remedy.changes for part in change.raw)


def line_remedies(trials: Trials, commands: Sequence[Words]) -> list[Remedy]:
    """Return remedies that add a line to the plugin ``command``, the narrowest first; they are not tried yet."""
    home = trials.account.home
    plugins = () if COMMAND in trials.definition.config.plugins else (COMMAND,)
    remedies = []
    for line in lines_for(commands, lambda path: candidate_paths(["", path], home)[0]):
        changes = [trials.change(COMMAND, "commands", (line.text,))]
        if line.directories:
            changes.append(trials.change(COMMAND, "read", line.directories))
        remedies.append(Remedy(plugins, tuple(changes), trials.lacks(COMMAND, changes)))
    return remedies


def why_no_line(trials: Trials, command: str | None, words: Words) -> str:
    """Return why no line of the plugin ``command`` takes a command."""
    remedies = line_remedies(trials, [words])
    for remedy in remedies:
        if remedy.lacks:
            return remedy.lacks
    for remedy in remedies:
        try:
            trials.judge(remedy, command)
        except JailsshError as error:
            return str(error)
    return "no line of the plugin command allows it without allowing more"


def settings_lines(changes: Iterable[SettingChange]) -> list[str]:
    """Return the changes as ``[section] name = value``, with what the setting was."""
    out = []
    for change in changes:
        if change.table:
            out += [f"{change.table}: {line}  (additional line)" for line in change.raw]
            continue
        before = f"now: {written(change.before) or 'empty'}, {change.origin}" if change.origin else "new"
        out.append(f"[{change.plugin}] {change.option} = {written(change.raw)}  ({before})")
    return out


def written(raw: Raw) -> str:
    """Return a value as it stands in a jail file."""
    return ", ".join(map(_quoted, (raw,) if isinstance(raw, str) else raw))


def _quoted(text: str) -> str:
    if _BARE.match(text) or not text:
        return text
    return f"'{text}'" if '"' in text else f'"{text}"'


def fragment(trials: Trials, suggestion: Suggestion) -> list[str]:
    """Return the suggestion as lines for a jail file: what to change in the jail's own, or a new file as a whole."""
    remedy, config = suggestion.remedy, trials.definition.config
    own = trials.own_file()
    sections: dict[str, dict[str, Raw]] = {}
    if own:
        lines = [f"# {own}: replace the present settings with these"]
    else:
        name = trials.new_name()
        lines = [f"# New file {trials.file_of(name)}; then: jailssh adduser {trials.account.name} --jail {name}"]
        base = trials.profile()
        if base:
            lines.append(f"extends = {base}")
        for item in () if base else config.items:
            if item.origin != "default" and item.setting.name not in ("plugins", "groups", "summary"):
                sections.setdefault(item.setting.section, {})[item.setting.name] = item.raw
        if config.env and not base:
            sections["env"] = dict(config.env)
    if remedy.plugins or not (own or trials.profile()):
        lines.append(f"plugins = {' '.join(sorted({*config.plugins, *remedy.plugins}))}")
    for change in remedy.changes:
        if change.table:
            lines += _comments(suggestion.needed.get((change.plugin, change.option), []))
            lines += [
                f"# additional lines of {change.table}, which this file names:",
                *(f"#   {each}" for each in (*change.raw, *_for_groups(suggestion, change.plugin, change.option))),
            ]
        else:
            sections.setdefault(change.plugin, {})[change.option] = change.raw
    lines += [f"{name} = {written(raw)}" for name, raw in sections.pop("", {}).items()]
    for plugin in remedy.plugins:
        lines += _comments(suggestion.needed.get((plugin, ""), []))
    for section, settings in sections.items():
        lines += ["", f"[{section}]"]
        for option, raw in settings.items():
            asked = suggestion.needed.get((section, option), [])
            lines += _comments(asked)
            lines += [f"# {each}" for each in _for_groups(suggestion, section, option)]
            if trials.shared and asked and not trials.is_table(SettingChange(section, option, raw)):
                lines.append(f"# this applies to every key of {trials.account.name}, not only to those above")
            if f"{section} {option}" in suggestion.guesses:
                lines.append("# the directory is a guess: the command does not name it")
            lines.append(f"{option} = {written(raw)}")
    return lines


def _for_groups(suggestion: Suggestion, plugin: str, option: str) -> list[str]:
    return [str(each) for each in suggestion.for_groups if (each.plugin, each.option) == (plugin, option)]


def _comments(asked: Sequence[Asked]) -> list[str]:
    lines = [f"# {each}" for each in asked[:_MOST_SHOWN]]
    return lines + [f"# and {len(asked) - _MOST_SHOWN} more"] * (len(asked) > _MOST_SHOWN)
