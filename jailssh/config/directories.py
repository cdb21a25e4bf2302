"""Sections ``[directories]`` of jails and accounts: which directories of the host are shown, how, and to whom.  Pure.

``[directories]`` is for everybody in the jail, ``[directories @designers bob]`` for who is named.  What a jail with
such a section lists is all of the host that it shows; a line adds, none takes away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from jailssh.config.reader import Document, Item, RawSetting, read_section
from jailssh.config.rights import is_who
from jailssh.config.settings import JAIL, Setting
from jailssh.config.values import UNSET, parse, words_of
from jailssh.core.errors import ConfigError, JailsshError
from jailssh.core.names import is_below
from jailssh.plugin.api import Directory, Value

SECTION = "directories"
LISTS = ("read", "write")
TOP = "/"
"""Where only the home can be shown: what stands at its top stands at the top of the jail then."""
ROWS = tuple(row for row in JAIL if row.section == SECTION)
_ENTRY = re.compile(r"(?P<path>.+?)(?:\s+as\s+(?P<place>\S.*))?")
_KEY = "key"
_RIGHTS = 0o777
_OWNER = 0o600


def is_section(name: str) -> bool:
    """True for the name of such a section, with or without who it is for."""
    return name.split()[:1] == [SECTION]


def read_directories(
    document: Document, errors: list[JailsshError], rows: Sequence[Setting] = ROWS
) -> tuple[tuple[Item, ...], tuple[Directory, ...]]:
    """Return the settings of these sections, of ``rows``, and what they list; adds to ``errors`` what is wrong."""
    items: list[Item] = []
    found: list[Directory] = []
    for section in filter(is_section, document.entries):
        who = who_of(section)
        place = document.headers.get(section, document.file)
        errors += [
            ConfigError(place, f"[{section}]: {name!r} is neither a name nor @group", hint="as in: [directories @web]")
            for name in who
            if not is_who(name)
        ]
        of_section = read_section(document, section, [replace(row, section=section) for row in rows], errors)
        items += of_section.values()
        if len(of_section) == len(rows):
            found += _listed(section, who, of_section, errors)
    return tuple(items), tuple(found)


def who_of(section: str) -> tuple[str, ...]:
    """Return who a section is for; ``[directories key laptop]`` is written as other sections for keys are."""
    words = words_of(section)[1:]
    return tuple(dict.fromkeys(words[1:] if words[:1] == (_KEY,) and words[1:] else words))


def _listed(
    section: str, who: tuple[str, ...], items: Mapping[str, Item], errors: list[JailsshError]
) -> Iterable[Directory]:
    mode: Value = UNSET
    group = ""
    if "mode" in items:
        errors += _about_mode(section, items)
        mode, group = items["mode"].value, str(items["group"].value)
    assert isinstance(mode, int)
    for name in LISTS:
        writable, texts = name == "write", items[name].value
        for text in texts if isinstance(texts, tuple) else ():
            try:
                path, place = _entry(text)
            except ValueError as error:
                errors.append(ConfigError(items[name].origin, f"[{section}] {name}: {error}"))
                continue
            yield Directory(
                path=path, place=place, writable=writable, who=who, mode=mode if writable else UNSET,
                group=group if writable else "", origin=f"{items[name].origin} [{section}] {name}",
            )  # fmt: skip


def _about_mode(section: str, items: Mapping[str, Item]) -> Iterable[ConfigError]:
    mode, group = items["mode"], items["group"]
    assert isinstance(mode.value, int)
    if mode.value != UNSET and (mode.value & ~_RIGHTS or mode.value & _OWNER != _OWNER):
        why = f"[{section}] mode: {mode.raw} is not a mode of files whose owner can read and write them"
        yield ConfigError(mode.origin, why, hint="as in: mode = 0664")
    if mode.value != UNSET and not group.value:
        why = f"[{section}] mode: group is not set, and only directories with one can give files a mode"
        yield ConfigError(mode.origin, why, hint="as in: group = www-data")
    if (group.value or mode.value != UNSET) and not items["write"].value:
        which = group if group.value else mode
        why = f"[{section}] {which.setting.name}: has no effect, since write lists no directory"
        yield ConfigError(which.origin, why, hint="set write, or remove it")


def _entry(text: str) -> tuple[str, str]:
    """Return the directory and the place inside, "" for the same; raises :class:`ValueError`."""
    match = _ENTRY.fullmatch(text)
    assert match is not None
    path, place = str(parse("path", match["path"])), match["place"] or ""
    if re.search(r"\s[/~]", path):
        raise ValueError(f"{text!r}: write PATH as PATH, and separate several with commas")
    if place == TOP and path == "~":
        return path, place
    if place and (not place.startswith("/") or place == TOP):
        raise ValueError(f"{place!r} is not a path inside: write an absolute one, as in: {path} as /site")
    if place and path == "~":
        raise ValueError("the home cannot have another path here; set home in the account's file")
    return path, str(parse("path", place))


def join(before: Mapping[str, RawSetting], after: Mapping[str, RawSetting]) -> dict[str, RawSetting]:
    """Return two sections of one name as one, which shows what either does.

    Raises :class:`ValueError` with the name of a setting that would then hold for directories of the other one.
    """
    for name in ("mode", "group"):
        said = [section[name].raw if name in section else "" for section in (before, after)]
        if said[0] != said[1]:
            raise ValueError(name)
    joined = dict(before)
    for name, entry in after.items():
        if name in LISTS and name in before:
            lists = [(each.raw,) if isinstance(each.raw, str) else each.raw for each in (before[name], entry)]
            origin = f"{before[name].origin} and {entry.origin}"
            entry = RawSetting(tuple(dict.fromkeys([*lists[0], *lists[1]])), origin)
        joined[name] = entry
    return joined


def mode_of_directories(mode: int) -> int:
    """Return the mode of directories where files have ``mode``: to be entered by who can read them."""
    return mode | (mode & 0o444) >> 2


def umask_of(directories: Iterable[Directory], otherwise: int) -> int:
    """Return the umask that leaves what the modes of ``directories`` give; ``otherwise`` where none has a mode."""
    given = 0
    for each in directories:
        given |= mode_of_directories(each.mode) if each.mode != UNSET else 0
    return _RIGHTS & ~given if given else otherwise


def is_inside(path: str, places: Iterable[str]) -> bool:
    """True if ``path`` is one of ``places``, or below one."""
    return any(is_below(path, place) for place in places)


def with_groups(kept: Value, directories: Iterable[Directory]) -> tuple[str, ...]:
    """Return the groups that a jail leaves its accounts, ``kept`` by its setting, with those of ``directories``."""
    named = kept if isinstance(kept, tuple) else ()
    return tuple(dict.fromkeys((*named, *(each.group for each in directories if each.group))))
