"""What ``[directories]`` of a jail and of an account come to for one login: which directories it sees, where, and how.

A plugin that names no directories of its own (sftp, scp, shell) shows what is listed in the place of the home; one that
does (rsync, borg, git …) takes what is listed for its own settings where these are empty.  The kernel holds what is
read-only.  In what is writable there may be a mode and a group for what is made: the group is the directory's own on
the host, the mode comes from a library of ours in the programs that serve transfers (``jailssh/made``), which leaves
the system's directories out of what they list of ``/``, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from types import MappingProxyType

from jailssh.config.directories import TOP, is_inside, mode_of_directories
from jailssh.config.jails import JailConfig
from jailssh.config.specifiers import expanded
from jailssh.config.values import UNSET
from jailssh.core.closed import Shown
from jailssh.core.errors import ConfigError, raise_all
from jailssh.core.home_readers import covers
from jailssh.core.names import escape, is_below, is_clean_absolute
from jailssh.jail.this_host import SAMPLE_ACCOUNT, ThisHost, Top
from jailssh.plan.view import RESERVED
from jailssh.plugin.api import Account, Bind, Directory, Listed, Option, Plugin, PluginResult, Value
from jailssh.policy.rules import ANY, Rule

PRELOAD, LISTED, MADE = "LD_PRELOAD", "JAILSSH_LISTED", "JAILSSH_MADE"
"""Variables of a rule: the library, the names at the top of the jail that listings have, each between slashes, and
``GID:FILES:DIRECTORIES`` for each group, modes in octal, ``-`` for none."""
_OWN = (Listed.ALL, Listed.READ, Listed.WRITABLE, Listed.ONE, Listed.INSTEAD)
_HOME = Directory(path="~", place="", writable=True, who=(), mode=UNSET, group="", origin="the jail")
_PATH = (Option("path", "path", "", ""),)
_SAMPLE = Top("upload", own=True)
_MOST_TOPS = 64


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A directory that a login sees: ``place`` is in the jail, ``source`` on the host; ``mode`` is -1 for none.

    ``personal``: the account's name, group or key is in it.  ``top``: it is shown for standing at the top of the home;
    ``own`` of these: the account can make files in it.
    """

    place: str
    source: str
    writable: bool
    mode: int
    group: str
    origin: str
    personal: bool
    top: bool = False
    own: bool = True


def entries(config: JailConfig, account: Account, host: ThisHost, *, judged: bool = True) -> tuple[Entry, ...] | None:
    """Return what ``account`` sees, sorted by place; None where neither its jail nor its file has such a section.

    Raises :class:`ConfigError` for what cannot be shown; without ``judged`` not for entries that do not go together,
    which no account need have.
    """
    if not config.directories and not account.directories:
        return None
    # What an account has of its own comes beside the home that such a jail shows.
    listed = (*(config.directories or (_HOME,)), *account.directories)
    found: dict[tuple[str, str], Entry] = {}
    errors: list[ConfigError] = []
    for each in listed:
        if each.who and account.roles.isdisjoint(each.who):
            continue
        try:
            for entry in _at_top(each, account, host) if each.place == TOP else (_entry(each, account),):
                before = found.get((entry.place, entry.source), entry)
                found[entry.place, entry.source] = _both(before, entry)
        except ConfigError as error:
            errors.append(error)
    every = tuple(found[key] for key in sorted(found))
    errors += [clash for pair in permutations(every, 2) if judged and (clash := _against(*pair))]
    raise_all(errors)
    return every


def _entry(each: Directory, account: Account) -> Entry:
    home, path = account.on_host(account.home), _text(each.path, each, account)
    source = home + path[1:] if path.startswith("~") else path
    place = _text(each.place, each, account) or (account.home + path[1:] if path.startswith("~") else path)
    for text in (source, place):
        if not is_clean_absolute(text) or text == "/":
            raise ConfigError(each.origin, f"{text!r} is not a plain absolute path")
    if is_below(home, source) and source != home:
        raise ConfigError(each.origin, f"{source} contains the homes of accounts", hint="name a directory below it")
    if source == home and place != account.home:
        # What hides files of a home from every session lies where the home is.
        why = f"{source} is the home, which cannot have another path here"
        raise ConfigError(each.origin, why, hint="write ~; another path is home in the account's file")
    if is_below(source, home) and source != home:
        inside = source[len(home) + 1 :]
        for name, _ in covers():
            if is_below(inside, name) or is_below(name, inside):
                why = f"{source} is hidden from every session: programs of the host act on ~/{name}"
                raise ConfigError(each.origin, why, hint="name another directory")
    return Entry(
        place=place, source=source, writable=each.writable, mode=each.mode, group=each.group, origin=each.origin,
        personal="%" in each.path,
    )  # fmt: skip


def _at_top(each: Directory, account: Account, host: ThisHost) -> Iterator[Entry]:
    """Yield what stands at the top of the home, as it is shown at the top of the jail."""
    is_sample = (account.name, account.uid) == (SAMPLE_ACCOUNT.name, SAMPLE_ACCOUNT.uid)
    tops = None if is_sample else host.tops_of(account)
    closed = {name for name, _ in covers()}
    if tops and len(tops) > _MOST_TOPS:
        why = f"{account.on_host(account.home)} has {len(tops)} directories, and {_MOST_TOPS} at most can be shown at /"
        raise ConfigError(each.origin, why, hint="put some of them into others")
    # One that is not there yet, or no account's, has what such homes have.
    for top in (_SAMPLE,) if tops is None else [top for top in tops if top.name not in closed]:
        place = f"/{top.name}"
        where = f"{account.on_host(account.home)}{place}"
        if top.name in RESERVED or is_below(account.home, place):
            why = f"{where} cannot be shown as {escape(place)}, which a jail has for itself"
            raise ConfigError(each.origin, why, hint="rename it, or list the directories one by one: ~/x as /y")
        if not is_clean_absolute(place) or not top.name.isprintable():
            raise ConfigError(each.origin, f"{escape(where)} is not a path that a jail can show", hint="rename it")
        one = _entry(replace(each, path="~", place=""), account)
        yield replace(one, place=place, source=where, personal=True, top=True, own=top.own)


def _text(text: str, each: Directory, account: Account) -> str:
    try:
        return str(expanded("directories", _PATH, {"path": text}, account)["path"])
    except ConfigError as error:
        raise ConfigError(each.origin, error.why, hint=error.hint) from error


def _both(one: Entry, other: Entry) -> Entry:
    """Return what two lines for the same directory give: no line takes anything away."""
    if one.writable != other.writable:
        return one if one.writable else other
    if (one.mode, one.group) != (other.mode, other.group):
        why = f"{one.source} has another mode or group at {one.origin}"
        raise ConfigError(other.origin, why, hint="write the same mode and group in both sections")
    return one


def _against(outer: Entry, inner: Entry) -> ConfigError | None:
    """Return why ``inner`` cannot be shown beside ``outer``, None if it can, or where that is told the other way."""
    if outer.source == inner.source:
        why = f"{inner.source} is listed twice, at {outer.place} and {inner.place}"
        return ConfigError(inner.origin, why, hint="keep one of them") if outer.place < inner.place else None
    inside = is_below(inner.source, outer.source)
    held = outer.writable and not inner.writable
    if is_below(inner.place, outer.place):
        if inner.place == outer.place and inner.source < outer.source:
            return None
        if not inside or inner.source[len(outer.source) :] != inner.place[len(outer.place) :]:
            why = f"{inner.place} is in {outer.place}, where {outer.source} is seen ({outer.origin})"
            return ConfigError(inner.origin, why, hint=f"show {inner.source} at another path: {inner.source} as /NAME")
    if inside and held:
        why = f"{inner.source} cannot be read-only: it is in {outer.source}, which is writable ({outer.origin})"
        return ConfigError(inner.origin, why, hint="list what is writable one by one, or take the line away")
    return None


def filled(
    options: Sequence[Option], values: Mapping[str, Value], seen: Sequence[Entry], account: Account
) -> Mapping[str, Value]:
    """Return a plugin's values with what is listed in the place of directories that its section does not name."""
    own = {option.name: option.listed for option in options if option.listed in _OWN}
    seen = sorted(seen, key=lambda entry: not entry.own)  # in the first one a plugin has tried what it does
    writable = tuple(entry.place for entry in seen if entry.writable)
    found: dict[str, Value] = {}
    if own and not any(values[name] for name in own):
        means: dict[Listed, Value] = {
            Listed.ALL: tuple(entry.place for entry in seen),
            Listed.READ: tuple(entry.place for entry in seen if not entry.writable),
            Listed.WRITABLE: writable,
            Listed.ONE: writable[0] if len(writable) == 1 else "",
        }
        found = {name: means[how] for name, how in own.items() if how in means}
    at_home = is_inside(account.home, [entry.place for entry in seen])
    for option in options:
        if option.listed == Listed.INSIDE and not values[option.name] and seen and not at_home:
            found[option.name] = TOP if any(entry.top for entry in seen) else (*writable, seen[0].place)[0]
    return MappingProxyType({**values, **found}) if found else values


def denial(
    plugin: Plugin, values: Mapping[str, Value], seen: Sequence[Entry] | None, config: JailConfig
) -> PluginResult | None:
    """Return what a plugin gives to somebody for whom nothing is listed that it could use, None for anybody else.

    Where everybody sees the same it is a mistake, which the plugin tells.
    """
    own = [option for option in plugin.options if option.listed in _OWN]
    if seen is None or not own or any(values[option.name] for option in own):
        return None
    if not any(each.who for each in config.directories) or any(entry.writable for entry in seen):
        return None
    reply = (126, "no directory for it is listed for you")
    rule = Rule(
        f"{plugin.name}.nothing", plugin.name, f"/{plugin.name}", (plugin.name,), ignore_arguments=True,
        builtin_reply=reply,
    )  # fmt: skip
    return PluginResult((rule,), plugin.name, home=Shown.NONE.value)


def tried(seen: Sequence[Entry] | None, account: Account) -> Account | None:
    """Return the account for which plugins say what is to be tried: its home is where something can be written.

    None where nothing can.
    """
    writable = [entry.place for entry in seen or () if entry.writable and entry.own]
    if seen is None or is_inside(account.home, writable):
        return account
    return replace(account, home=writable[0], host_home="") if writable else None


def show(
    config: JailConfig,
    plugins: Sequence[Plugin],
    results: Sequence[PluginResult],
    seen: Sequence[Entry],
    account: Account,
) -> tuple[PluginResult, ...]:
    """Return the results with what is listed as their directories, one of each plugin as they are given."""
    errors: list[ConfigError] = []
    given = []
    for plugin, result in zip(plugins, results, strict=True):
        if any(option.listed in _OWN for option in plugin.options):
            own = replace(result, binds=tuple(_sourced(bind, seen, account) for bind in result.binds))
            errors += _refused(config, plugin.name, own, seen, account)
            given.append(own)
        else:
            given.append(_instead_of_home(result, seen, account))
    raise_all(errors)
    return tuple(given)


def _instead_of_home(result: PluginResult, seen: Sequence[Entry], account: Account) -> PluginResult:
    wish = Shown(result.home)
    if wish == Shown.NONE:
        return result
    top = next((entry for entry in seen if entry.top), None)
    if top and any(rule.interactive_login or ANY in rule.command_names for rule in result.rules):
        hint = "list the home as ~, or use a jail of its own"
        raise ConfigError(top.origin, "the home as / is for transfers: a shell needs a home at its own path", hint=hint)
    binds, home = [], Shown.NONE
    for entry in seen:
        writable = entry.writable and wish == Shown.WRITABLE
        if entry.place == account.home:
            home = Shown.WRITABLE if writable else Shown.READ_ONLY
        else:
            source = "" if entry.source == account.on_host(entry.place) else entry.source
            binds.append(Bind(entry.place, writable, optional=entry.top, source=source))
    return replace(result, home=home, binds=(*result.binds, *binds))


def _sourced(bind: Bind, seen: Sequence[Entry], account: Account) -> Bind:
    """Return the bind with the directory of the host that the entry around it stands for."""
    around = [entry for entry in seen if is_below(bind.path, entry.place)]
    if not around:
        return bind
    entry = max(around, key=lambda each: len(each.place))
    source = entry.source + bind.path[len(entry.place) :]
    if source == account.on_host(bind.path):
        return bind
    return replace(bind, source=source, optional=bind.optional or entry.top)


def _refused(
    config: JailConfig, plugin: str, result: PluginResult, seen: Sequence[Entry], account: Account
) -> list[ConfigError]:
    """Return an error for each directory that a plugin's own setting makes writable and that is listed to be read."""
    written = {account.source_of(bind) for bind in result.binds if bind.writable}
    if result.home == Shown.WRITABLE:
        written.add(account.on_host(account.home))
    found = []
    for path in sorted(written):
        listed = any(entry.writable and is_below(path, entry.source) for entry in seen)
        for entry in seen:
            inside = is_below(path, entry.source) and not listed
            if not entry.writable and (inside or is_below(entry.source, path)):
                why = f"{path} is writable there, and {entry.source} read-only at {entry.origin}"
                found.append(ConfigError(f"{config.places[plugin]} [{plugin}]", why, hint="correct one of them"))
    return found


def outside(
    options: Sequence[Option], values: Mapping[str, Value], results: Iterable[PluginResult], account: Account
) -> tuple[str, str]:
    """Return the setting, and its value, that must lie in what the jail shows and does not; two empty texts else."""
    wanted = {option.name: str(values[option.name]) for option in options if option.listed == Listed.INSIDE}
    if not any(wanted.values()):
        return "", ""
    shown = [account.home] if any(result.home != Shown.NONE for result in results) else []
    shown += [bind.path for result in results for bind in result.binds]
    for name, text in wanted.items():
        path = account.home + text[1:] if text.startswith("~") else text
        if path not in ("", "/") and not is_inside(path, shown):
            return name, text
    return "", ""


def with_library(
    config: JailConfig, results: Sequence[PluginResult], seen: Sequence[Entry], library: str, host: ThisHost
) -> tuple[PluginResult, ...]:
    """Return the results with what the library needs in the rules' environments: names to list, modes of files.

    Not for rules whose program the user chooses, where it could be taken away: there the umask and the group of the
    directory decide.
    """
    if not config.directories:  # its image has no library
        return tuple(results)
    names = sorted({entry.place.split("/")[1] for entry in seen})
    pairs = [(PRELOAD, library), (LISTED, f"/{'/'.join(names)}/"), *_modes(config, results, seen, host)]
    return tuple(replace(result, rules=tuple(_in(rule, pairs) for rule in result.rules)) for result in results)


def _modes(
    config: JailConfig, results: Sequence[PluginResult], seen: Sequence[Entry], host: ThisHost
) -> list[tuple[str, str]]:
    wanted = {entry.group: entry for entry in seen if entry.group}
    errors = []
    for entry in seen:
        if entry.group and entry.mode != wanted[entry.group].mode:
            why = f"group {entry.group} has two modes, here and at {wanted[entry.group].origin}"
            errors.append(ConfigError(entry.origin, why, hint="one mode for each group"))
    text = []
    for group, entry in sorted(wanted.items()):
        gid = host.group_id(group)
        if not gid:
            why = f"group {group!r} {'does not exist on this host' if gid is None else 'is the group of root'}"
            errors.append(ConfigError(entry.origin, why, hint=f"groupadd {group}" if gid is None else ""))
        has = entry.mode != UNSET
        modes = (f"{entry.mode:o}", f"{mode_of_directories(entry.mode):o}") if has else ("-", "-")
        text.append(f"{gid}:{':'.join(modes)}")
        keeps = [name for name, result in zip(config.plugins, results, strict=True) if _keeps(result) and has]
        for name in keeps:
            why = f"[{name}] takes new files only and keeps them by their mode, so mode cannot be set beside it"
            errors.append(ConfigError(entry.origin, why, hint="remove mode, or use a jail of its own"))
    raise_all(errors)
    return [(MADE, ",".join(text))] if text else []


def _keeps(result: PluginResult) -> bool:
    return any(rule.create_only for rule in result.rules)


def _in(rule: Rule, pairs: Iterable[tuple[str, str]]) -> Rule:
    if rule.builtin_reply or rule.interactive_login or ANY in rule.command_names:
        return rule
    return replace(rule, environment=(*rule.environment, *pairs))
