"""Jails: a profile or the administrator's file, extended, combined, and read with the schemas of its plugins."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from difflib import get_close_matches
from types import MappingProxyType

from jailssh.config import directories as listed
from jailssh.config.files import UserConfig, refuse_sections
from jailssh.config.reader import Document, Item, RawSetting, did_you_mean, read_section
from jailssh.config.rights import Table, file_of
from jailssh.config.services import directories as service_directories
from jailssh.config.settings import HOLDS_PATHS, JAIL, RLIMITS, Setting, SettingKind, plugin_settings
from jailssh.config.specifiers import matches
from jailssh.config.values import UNSET, Raw, parse, words_of
from jailssh.core.closed import Forward, Network, Recorded, Root
from jailssh.core.errors import ConfigError, JailsshError, UsageError, raise_all
from jailssh.core.names import HostPath, check_account_name, check_jail_name
from jailssh.plugin.api import Account, Directory, Option, Plugin, Value
from jailssh.policy.rules import RuleError

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?\Z")
# Names that steer the loader, libc, an interpreter or what a program runs next, and those that the plan sets itself;
# login/env.c has them too.
_ENV_REFUSED = re.compile(
    r"(LD_.*|GLIBC_.*|GCONV_PATH|GETCONF_DIR|HOSTALIASES|LOCALDOMAIN|LOCPATH|MALLOC_.*|NIS_PATH|NLSPATH|RES_OPTIONS"
    r"|RESOLV_.*|TZDIR|.*PATH|IFS|ENV|BASH_.*|BASHOPTS|PS4|PROMPT_COMMAND|PYTHON.*|PERL.*|RUBY.*|NODE_.*"
    r"|GIT_.*|RSYNC_.*|SSH_.*|JAILSSH_.*|HOME|USER|LOGNAME|SHELL.*)\Z"
)
# How a plugin's hint shows what to write.
_EXAMPLE = "as in: "
_NOT_YOURS = "the plugin is at fault, not the configuration: report it to its author, or remove it from plugins"
GROUP_MARK = "@"
"""Stands in front of a group among accounts."""
_SETS = ("plugins", "groups", "enter", "supplementary_groups", "accept_env", "packages", "files",
         "services")  # fmt: skip
"""Settings that are sets: combining jails gives the union."""

OptionsOf = Callable[[str], Sequence[Option]]
"""Looks up a plugin's options; raises :class:`ConfigError` for a plugin that is not there or cannot be used."""


@dataclass(frozen=True)
class JailConfig:
    """A jail as configured.  ``limits`` and sizes in bytes, seconds or pieces; ``options`` by plugin.

    ``access``: the other settings of the section ``limits``, for :func:`jailssh.config.limits.access_of`.
    ``file`` is where it is written, ``places`` says for each plugin where its section is, or the line that lists it.
    """

    name: str
    file: str
    _: KW_ONLY
    places: Mapping[str, str]
    summary: str
    plugins: tuple[str, ...]
    root: Root
    inaccessible_paths: tuple[str, ...]
    network: Network
    forward: Forward
    services: tuple[HostPath, ...]
    groups: tuple[str, ...]
    enter: tuple[str, ...]
    home_keys: bool
    directory_keys: bool
    supplementary_groups: tuple[str, ...]
    group_members: bool
    hostname: str
    tmp_size: int
    packages: tuple[str, ...]
    files: tuple[str, ...]
    umask: int
    linger: bool
    crontab: bool
    record: Recorded
    record_size: int
    transfers: bool
    log: bool
    shared_directories: bool
    accept_env: tuple[str, ...]
    message: str
    limits: Mapping[str, int]
    access: Mapping[str, Item]
    env: tuple[tuple[str, str], ...]
    options: Mapping[str, Mapping[str, Value]]
    items: tuple[Item, ...]
    directories: tuple[Directory, ...] = ()


def extend(document: Document, profiles: Mapping[str, Document]) -> Document:
    """Return ``document`` laid over the shipped profile that its ``extends`` names (itself without one)."""
    wanted = document.entries[""].get("extends")
    if wanted is None or not wanted.raw:
        return document
    base = profiles.get(str(wanted.raw))
    if base is None:
        raise ConfigError(
            wanted.origin,
            f"shipped profile {wanted.raw!r} does not exist",
            hint=f"one of: {', '.join(sorted(profiles))}",
        )
    entries = {name: dict(section) for name, section in base.entries.items()}
    for name, section in document.entries.items():
        entries.setdefault(name, {}).update(section)
    kept = {"", "limits", "env", *words_of(entries[""].get("plugins", RawSetting("", "")).raw), *document.entries}
    kept |= {name for name in entries if listed.is_section(name)}
    return _document(document.file, {name: entries[name] for name in entries if name in kept},
                     {**base.headers, **document.headers}, document.tables)  # fmt: skip


def rights_files(document: Document, plugins: Mapping[str, Plugin]) -> tuple[str, ...]:
    """Return the paths of the files with tables of rights that ``document`` names for options of ``plugins``."""
    named = [
        file_of(document.entries[section][option.name].raw)
        for section in document.entries
        if section in plugins
        for option in plugins[section].options
        if option.kind == SettingKind.RIGHTS and option.name in document.entries[section]
    ]
    return tuple(sorted({path for path in named if path}))


def plugin_document(plugin: str) -> Document:
    """Return the jail that a bare plugin name stands for: this plugin with its defaults."""
    return _document(f"plugin {plugin}", {"": {"plugins": RawSetting(plugin, f"plugin {plugin}")}}, {}, {})


def combine(documents: Mapping[str, Document], options_of: OptionsOf = lambda _: ()) -> Document:
    """Return the union of several jails, given by name; a setting that two mean differently is an error.

    ``shared_directories`` is said of the pairs of one jail, so the union has it only if all say it.
    """
    merged: dict[str, dict[str, RawSetting]] = {"": {}}
    owner: dict[tuple[str, str], str] = {}
    headers: dict[str, str] = {}
    tables: dict[str, Table] = {}
    errors: list[JailsshError] = []
    for jail in sorted(documents):
        headers.update(documents[jail].headers)
        tables.update(documents[jail].tables)
        for section, entries in documents[jail].entries.items():
            if listed.is_section(section) and section in merged:
                merged[section] = _joined(section, merged[section], entries, documents[jail].file, errors)
                continue
            target = merged.setdefault(section, {})
            for key, entry in entries.items():
                if not section and key in ("extends", "summary"):
                    continue
                before = target.get(key)
                if before is None:
                    target[key], owner[section, key] = entry, jail
                elif not section and key in _SETS:
                    parts = _normal if key == "files" else words_of
                    union = tuple(sorted({*parts(before.raw), *parts(entry.raw)}))
                    target[key] = RawSetting(union, f"{before.origin} and {entry.origin}")
                elif _normal(before.raw) != _normal(entry.raw):
                    where = f"[{section}] {key}" if section else key
                    errors.append(
                        ConfigError(
                            f"jails {owner[section, key]} and {jail}",
                            f"{where} is set differently ({before.origin} and {entry.origin})",
                            hint="write one jail with the value to use, or use only one of them",
                        )
                    )
    errors += _left_out(documents, options_of)
    raise_all(errors)
    if not all("shared_directories" in document.entries[""] for document in documents.values()):
        merged[""].pop("shared_directories", None)
    return _document("+".join(sorted(documents)), merged, headers, tables)


def _joined(
    section: str,
    before: Mapping[str, RawSetting],
    after: Mapping[str, RawSetting],
    file: str,
    errors: list[JailsshError],
) -> dict[str, RawSetting]:
    try:
        return listed.join(before, after)
    except ValueError as error:
        why = f"[{section}] {error} is set differently in another jail of the account"
        errors.append(ConfigError(file, why, hint="write one jail with the sections of both, or the same in both"))
        return dict(before)


def _left_out(documents: Mapping[str, Document], options_of: OptionsOf) -> Iterator[ConfigError]:
    """Yield an error for each setting that one jail writes and another with the same plugin leaves at its default."""
    users: dict[str, list[str]] = {}
    for jail in sorted(documents):
        for plugin in plugins_of(documents[jail]):
            users.setdefault(plugin, []).append(jail)
    for plugin, jails in users.items():
        options: Sequence[Option] = ()
        with suppress(ConfigError):  # told where the union is read
            options = options_of(plugin) if len(jails) > 1 else ()
        for option in options:
            written = {jail: documents[jail].entries.get(plugin, {}).get(option.name) for jail in jails}
            silent = next((jail for jail, entry in written.items() if entry is None), "")
            for jail, entry in written.items():
                if silent and entry is not None and not _means(option, entry.raw, option.default):
                    what = f"[{plugin}] {option.name}"
                    yield ConfigError(
                        f"jails {jail} and {silent}",
                        f"{what} is set in {jail} ({entry.origin}) and left at its default in {silent}",
                        hint="write one jail with the value to use, or use only one of them",
                    )


def _means(option: Option, one: Raw, two: Raw) -> bool:
    """True if an option means the same as ``one`` and as ``two``; what cannot be read is told elsewhere."""
    if option.kind == SettingKind.RIGHTS:
        return _normal(one) == _normal(two)
    try:
        return parse(option.kind, one) == parse(option.kind, two)
    except (KeyError, ValueError):
        return True


def read_jail(name: str, document: Document, options_of: OptionsOf, known: Collection[str] = ()) -> JailConfig:
    """Return the jail in ``document`` (after :func:`extend` or :func:`combine`); every error in one pass.

    ``known`` are all plugins that there are, for a better answer to what is misspelt or in the wrong place.
    """
    errors: list[JailsshError] = []
    top = read_section(document, "", JAIL, errors)
    limits = read_section(document, "limits", JAIL, errors)
    env = _read_env(document, errors)
    of_directories, directories = listed.read_directories(document, errors)
    plugins = tuple(sorted(set(plugins_of(document))))
    options: dict[str, Mapping[str, Value]] = {}
    items = [*top.values(), *limits.values(), *of_directories]
    for plugin in plugins:
        try:
            rows = plugin_settings(plugin, options_of(plugin))
        except ConfigError as error:
            hint = did_you_mean(plugin, known) if known and plugin not in known else error.hint
            errors.append(ConfigError(document.entries[""]["plugins"].origin, f"{error.what}: {error.why}", hint=hint))
            continue
        if faults := _bad_rows(rows):
            errors.append(ConfigError(_place(document, plugin), f"plugin {plugin}: {faults}", hint=_NOT_YOURS))
            continue
        section = read_section(document, plugin, rows, errors)
        options[plugin] = MappingProxyType({key: item.value for key, item in section.items()})
        items.extend(section.values())
    _check_sections(document, plugins, known, options_of, errors)
    if not plugins:
        errors.append(ConfigError(document.file, "required setting 'plugins' is missing"))
    if "hostname" in top and not _HOST_NAME.match(str(top["hostname"].value)):
        errors.append(ConfigError(top["hostname"].origin, f"hostname: {top['hostname'].value!r} is not a host name"))
    _check_enter(document, errors)
    for name in refused_names(accepted_of(document)):
        why = f"accept_env: {name} is not allowed: it can change what is executed"
        errors.append(ConfigError(document.entries[""]["accept_env"].origin, why))
    if top["forward"].value == Forward.INSIDE and top["network"].value not in (Network.AUTO, Network.LOOPBACK):
        why = f"forward: inside needs a loopback interface of the jail's own, and network is {top['network'].value}"
        errors.append(ConfigError(top["forward"].origin, why, hint="network = loopback"))
    services: tuple[HostPath, ...] = ()
    try:
        services = service_directories(map(str, top["services"].value))  # type: ignore[arg-type]
    except ValueError as error:
        hint = "a service without a socket in a file is reached with network = host"
        errors.append(ConfigError(top["services"].origin, f"services: {error}", hint=hint))
    raise_all(errors)
    set_limits = {key: limits[key].value for key in RLIMITS if limits[key].value != UNSET}
    access = {key: item for key, item in limits.items() if key not in RLIMITS}
    values = {key: item.value for key, item in top.items() if key not in ("extends", "plugins")}
    values |= {"root": Root(str(values["root"])), "network": Network(str(values["network"])),
               "forward": Forward(str(values["forward"])), "record": Recorded(str(values["record"])),
               "services": services}  # fmt: skip
    if top["umask"].origin == "default":
        values["umask"] = listed.umask_of(directories, int(str(values["umask"])))
    values["supplementary_groups"] = listed.with_groups(top["supplementary_groups"].value, directories)
    return JailConfig(
        name=name, file=document.file, places={plugin: _place(document, plugin) for plugin in plugins},
        plugins=plugins, limits=MappingProxyType(set_limits), env=env,  # type: ignore[arg-type]
        access=MappingProxyType(access), options=MappingProxyType(options), items=tuple(items),
        directories=directories, **values,  # type: ignore[arg-type]
    )  # fmt: skip


def _bad_rows(rows: Sequence[Setting]) -> str:
    """Return what is wrong with the options that a plugin declares, "" for nothing."""
    for row in rows:
        try:
            if row.kind != SettingKind.RIGHTS:
                parse(row.kind, row.default)
        except KeyError:
            return f"option {row.name!r} has the unknown kind {row.kind!r}"
        except ValueError as error:
            return f"default of option {row.name!r}: {error}"
    return ""


def _check_sections(
    document: Document,
    plugins: Sequence[str],
    known: Collection[str],
    options_of: OptionsOf,
    errors: list[JailsshError],
) -> None:
    """Add to ``errors`` sections that are of no plugin of the jail; what they set is checked where that can be."""
    of_directories = {listed.SECTION, *filter(listed.is_section, document.entries)}
    refuse_sections(document, {"", "limits", "env", *of_directories, *plugins, *known}, errors)
    misspelt = [plugin for plugin in plugins if plugin not in known]
    for section in document.entries:
        if section not in known or section in plugins:
            continue
        with suppress(ConfigError):
            read_section(document, section, plugin_settings(section, options_of(section)), errors)
        if not any(get_close_matches(plugin, [section]) for plugin in misspelt):
            why = f"section [{section}] has no effect: plugins does not list {section}"
            hint = f"add {section} to plugins, or remove the section"
            errors.append(ConfigError(document.headers.get(section, document.file), why, hint=hint))


def _place(document: Document, plugin: str) -> str:
    origin = document.headers.get(plugin)
    if origin is None:
        origin = document.entries[""]["plugins"].origin
        if f"plugin {plugin}" in origin.split(" and "):
            return f"plugin {plugin}"
    return _in_file(document.file, origin)


def _in_file(file: str, origin: str) -> str:
    """Return ``origin``, with ``file`` in front where it is in another one: a profile, or a part of a union."""
    return origin if origin.startswith(file) else f"{file} ({origin})"


def place_of(config: JailConfig, plugin: str, path: str, home: str) -> str:
    """Return where ``plugin``'s directory ``path`` is set in ``config``, for an account with this ``home``."""
    for each in config.directories:
        text = each.place or each.path
        if matches(home + text[1:] if text.startswith("~") else text, path):
            return _in_file(config.file, each.origin)
    for item in config.items:
        if item.setting.section != plugin or item.setting.kind not in HOLDS_PATHS or item.origin == "default":
            continue
        texts = item.value if isinstance(item.value, tuple) else (str(item.value),)
        whole = [home + text[1:] if text.startswith("~") else text for text in texts]
        if any(matches(text, path) for text in whole):
            return f"{_in_file(config.file, item.origin)} [{plugin}] {item.setting.name}"
    return f"{config.places[plugin]} [{plugin}]"


def locate(config: JailConfig, plugin: str, error: ConfigError) -> ConfigError:
    """Return what ``plugin`` raised for its settings in ``config``, with the file, the line and the section."""
    section, place, hint = f"[{plugin}]", config.places[plugin], error.hint
    if place == f"plugin {plugin}" and _EXAMPLE in hint:
        # There is nowhere to write the setting into as long as the plugin itself is taken as a jail.
        example = hint.partition(_EXAMPLE)[2]
        hint = (
            f'this needs a jail file: write the lines "plugins = {plugin}", "{section}" and "{example}" into '
            f"/etc/jailssh/jails/my-{plugin}.conf, and use the jail my-{plugin}"
        )
    if not error.what.startswith(section):
        return ConfigError(f"{place} {section}", f"{error.what}: {error.why}", hint=hint)
    named = error.what.removeprefix(section)
    for item in (item for item in config.items if item.setting.section == plugin and item.origin != "default"):
        line = next((line.origin for line in item.lines if named.endswith(f": {line.text}")), "")
        if line or item.setting.name in named.partition(":")[0].split():
            place = _in_file(config.file, line or item.origin)
            break
    return ConfigError(f"{place} {error.what}", error.why, hint=hint)


def locate_rules(config: JailConfig, error: RuleError) -> ConfigError:
    """Return what is wrong with rules of ``config``, with the lines of the plugins that they are from."""
    known = [plugin for plugin in dict.fromkeys(error.plugins) if plugin in config.places]
    places = " and ".join(f"{config.places[plugin]} [{plugin}]" for plugin in known)
    return ConfigError(places or config.file, f"{error.what}: {error.why}", hint=error.hint)


def jails_of(account: Account, user: UserConfig | None, jails: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the names of the account's jails, sorted; none is an empty tuple.

    A user's own file decides alone; without one, membership in the groups of ``jails`` (name to unix groups) does.
    """
    if user is not None:
        return user.jails
    member = {account.group, *(name for name, _ in account.groups)}
    return tuple(sorted(jail for jail, groups in jails.items() if member.intersection(groups)))


def plugins_of(document: Document) -> tuple[str, ...]:
    """Return the plugins of the jail in ``document``."""
    return words_of(document.entries[""].get("plugins", RawSetting("", "")).raw)


def groups_of(document: Document) -> tuple[str, ...]:
    """Return the unix groups whose members get the jail in ``document``."""
    return words_of(document.entries[""].get("groups", RawSetting("", "")).raw)


def enter_of(document: Document) -> tuple[str, ...]:
    """Return who may enter the jail in ``document``: accounts, and groups with ``@`` in front."""
    return words_of(document.entries[""].get("enter", RawSetting("", "")).raw)


def _check_enter(document: Document, errors: list[JailsshError]) -> None:
    for word in enter_of(document):
        try:
            name = check_account_name(word.removeprefix(GROUP_MARK))
            if name == "root" and not word.startswith(GROUP_MARK):
                raise UsageError("root", "cannot be in a jail")
        except UsageError as error:
            where = document.entries[""]["enter"].origin
            errors.append(ConfigError(where, f"enter: {error.what}: {error.why}", hint=error.hint))


def is_on(document: Document, switch: str) -> bool:
    """True if the setting ``switch`` of the jail in ``document`` is on, as ``home_keys`` can be.

    What is no value of a switch counts as no; reading the jail says what is wrong.
    """
    entry = document.entries[""].get(switch)
    try:
        return entry is not None and parse("bool", entry.raw) is True
    except ValueError:
        return False


def reaches_out(document: Document) -> bool:
    """True if the accounts in the jail in ``document`` may have a way out of a network of their own."""
    entry = document.entries[""].get("network")
    return entry is not None and words_of(entry.raw) == (Network.OUTBOUND,)


def forwards_of(document: Document) -> bool:
    """True if sshd may forward for the accounts in the jail in ``document``; a value that is none counts as no."""
    entry = document.entries[""].get("forward")
    return entry is not None and words_of(entry.raw) == (Forward.INSIDE,)


def accepted_of(document: Document) -> tuple[str, ...]:
    """Return the names of variables that the client may set in the jail in ``document``, as they are written."""
    return words_of(document.entries[""].get("accept_env", RawSetting("", "")).raw)


def refused_names(names: Sequence[str]) -> list[str]:
    """Return those of ``names`` that no client may set; of what a ``*`` stands for the login program refuses more."""
    return [name for name in names if any(map(_ENV_REFUSED.match, (name.upper(), name.upper().rstrip("*"))))]


def combined_name(jails: Sequence[str]) -> str:
    """Return the name of the union of ``jails``: sorted, with ``+`` between."""
    try:
        return check_jail_name("+".join(sorted(set(jails))), combined=len(set(jails)) > 1)
    except UsageError as error:
        raise ConfigError(error.what, error.why, hint=error.hint) from error


def _read_env(document: Document, errors: list[JailsshError]) -> tuple[tuple[str, str], ...]:
    out: list[tuple[str, str]] = []
    for name, entry in sorted(document.entries.get("env", {}).items()):
        if not _ENV_NAME.match(name):
            errors.append(ConfigError(entry.origin, f"[env] {name!r} is not a variable name"))
        elif _ENV_REFUSED.match(name.upper()):
            errors.append(ConfigError(entry.origin, f"[env] {name} is not allowed: it can change what is executed"))
        elif not isinstance(entry.raw, str):
            errors.append(ConfigError(entry.origin, f"[env] {name}: contains a comma and is not in quotes"))
        elif not entry.raw.isprintable():
            errors.append(ConfigError(entry.origin, f"[env] {name}: contains a control character"))
        else:
            out.append((name, entry.raw))
    return tuple(out)


def _normal(raw: str | tuple[str, ...]) -> tuple[str, ...]:
    return (raw,) if isinstance(raw, str) else raw


def _document(
    file: str,
    entries: Mapping[str, Mapping[str, RawSetting]],
    headers: Mapping[str, str],
    tables: Mapping[str, Table],
) -> Document:
    frozen = {section: MappingProxyType(dict(keys)) for section, keys in entries.items()}
    return Document(file, MappingProxyType(frozen), MappingProxyType(dict(headers)), MappingProxyType(dict(tables)))
