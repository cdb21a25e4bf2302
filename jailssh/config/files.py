"""The main file and the users' files as typed values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from types import MappingProxyType

from configobj import ConfigObj

from jailssh.config.directories import SECTION, is_section, read_directories
from jailssh.config.key_sections import KeySection, is_by_key, listing, sections_of
from jailssh.config.keys import Group, check_group, check_name
from jailssh.config.limits import CLASSES, read_classes
from jailssh.config.reader import Document, Item, did_you_mean, read_document, read_section
from jailssh.config.settings import IMAGE, MAIN, PULL, USER, Setting
from jailssh.config.values import words_of
from jailssh.core.errors import ConfigError, JailsshError, UsageError, raise_all
from jailssh.core.names import MAX_UID, check_jail_name
from jailssh.plugin.api import Directory

LIMITS = "limits"
GROUPS = "groups"
"""The section of a user's file that names groups of keys."""
NOTHING: Mapping[str, str] = MappingProxyType({})
_LISTS = tuple(row for row in USER if row.section == SECTION)
_HEADER = re.compile(r"[ \t]*\[([^]]*)\]")
_ENTRY = re.compile(r"([^#=]*=[ \t]*)([^#]*?)([ \t\r]*(?:#.*)?)\Z", re.DOTALL)
_BETWEEN = re.compile(r"([,\s]+)")


@dataclass(frozen=True)
class MainConfig:
    """``jailssh.conf``.  ``build_timeout`` is in seconds, ``bandwidth`` in bytes per second, by name."""

    _: KW_ONLY
    require_journal: bool
    build_timeout: int
    third_party_plugins: tuple[str, ...]
    third_party_checks: tuple[str, ...]
    audit_keep: int
    audit_mail: tuple[str, ...]
    audit_command: str
    audit_textfile: str
    deny_groups: tuple[str, ...]
    pam_services: tuple[str, ...]
    pam_inside: tuple[str, ...]
    mail_inside: bool
    min_uid: int
    keep_generations: int
    bandwidth: Mapping[str, int]
    items: tuple[Item, ...]


@dataclass(frozen=True)
class UserConfig:
    """``users/NAME.conf``: which jails (or plugins) the account with this name and uid is in.

    ``groups`` of its named keys, if it is shared; ``access``: its own limits, which go before those of the jail;
    ``home``: where the jail shows its home, "" for its path on the host; ``directories``: beside the jail's;
    ``by_key``: what single keys have instead; ``listed_by_key``: the sections in which directories are listed for them.
    """

    name: str
    uid: int
    jails: tuple[str, ...]
    _: KW_ONLY
    items: tuple[Item, ...]
    groups: tuple[Group, ...] = ()
    access: Mapping[str, Item] = field(default_factory=dict)
    home: str = ""
    directories: tuple[Directory, ...] = ()
    by_key: tuple[KeySection, ...] = ()
    listed_by_key: tuple[KeySection, ...] = ()

    @property
    def for_keys(self) -> tuple[KeySection, ...]:
        """All sections that give something to a key or a group of keys."""
        return (*self.by_key, *self.listed_by_key)

    @property
    def is_shared(self) -> bool:
        """True if the file alone says that the account is one whose keys have names."""
        return bool(self.groups) or any(each.says_key for each in self.for_keys)


def read_main(data: bytes | str, file: str) -> MainConfig:
    """Return the main configuration; an empty text gives the defaults."""
    document = read_document(data, file)
    errors: list[JailsshError] = []
    refuse_sections(document, {"", CLASSES}, errors)
    items = read_section(document, "", MAIN, errors)
    classes = read_classes(document, errors)
    raise_all(errors)
    values = {name: item.value for name, item in items.items()}
    bandwidth = MappingProxyType({item.setting.name: item.value for item in classes})
    return MainConfig(**values, bandwidth=bandwidth, items=(*items.values(), *classes))  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class PullConfig:
    """``pull.conf``: what is run for a bundle, as whom, and how many seconds old the newest may be (UNSET: any)."""

    command: str
    user: str
    max_age: int


def read_pull(data: bytes | str, file: str) -> PullConfig:
    """Return what ``pull.conf`` says; raises all mistakes in it."""
    return PullConfig(**_flat(data, file, PULL))  # type: ignore[arg-type]


def read_image(data: bytes | str, file: str) -> str:
    """Return the digest in ``images/JAIL.conf``; raises all mistakes in it."""
    return str(_flat(data, file, IMAGE)["digest"])


def _flat(data: bytes | str, file: str, rows: tuple[Setting, ...]) -> dict[str, object]:
    """Return the values of a file without sections."""
    document = read_document(data, file)
    errors: list[JailsshError] = []
    refuse_sections(document, {""}, errors)
    items = read_section(document, "", rows, errors)
    raise_all(errors)
    return {name: item.value for name, item in items.items()}


@lru_cache(maxsize=1 << 14)
def read_user(data: bytes | str, file: str, name: str) -> UserConfig:
    """Return the configuration of the account ``name``; of one text the same, which nobody changes."""
    document = read_document(data, file)
    errors: list[JailsshError] = []
    of_directories = {SECTION, *filter(is_section, document.entries)}
    refuse_sections(document, {"", GROUPS, LIMITS, *of_directories, *filter(is_by_key, document.entries)}, errors)
    listed, directories = read_directories(document, errors, _LISTS)
    by_key = sections_of(document, errors)
    limits = read_section(document, LIMITS, USER, errors)
    access = {key: item for key, item in limits.items() if key in document.entries.get(LIMITS, {})}
    groups = _read_groups(document, errors)
    missing = [name for name in ("uid", "jail") if name not in document.entries[""]]
    errors.extend(ConfigError(file, f"required setting {key!r} is missing") for key in missing)
    rows = tuple(row for row in USER if row.name not in missing)
    items = read_section(document, "", rows, errors)
    raise_all(errors)
    uid, jails = items["uid"], items["jail"]
    assert isinstance(uid.value, int) and isinstance(jails.value, tuple)
    if not 0 < uid.value <= MAX_UID:
        errors.append(ConfigError(uid.origin, f"uid {uid.value} is not between 1 and {MAX_UID}"))
    if not jails.value:
        errors.append(
            ConfigError(
                jails.origin, "jail is empty", hint=f"to take the account out of its jail: jailssh deluser {name}"
            )
        )
    for jail in jails.value:
        try:
            check_jail_name(jail)
        except UsageError as error:
            errors.append(ConfigError(jails.origin, f"{error.what}: {error.why}", hint=error.hint))
    raise_all(errors)
    shown = (*items.values(), *access.values(), *listed)
    return UserConfig(
        name,
        uid.value,
        tuple(sorted(set(jails.value))),
        items=shown,
        groups=groups,
        access=access,
        home=str(items["home"].value).rstrip("/"),
        directories=directories,
        by_key=by_key,
        listed_by_key=listing(document),
    )


def _read_groups(document: Document, errors: list[JailsshError]) -> tuple[Group, ...]:
    found = []
    for name, entry in document.entries.get(GROUPS, {}).items():
        try:
            found.append(Group(check_group(name), tuple(map(check_name, words_of(entry.raw))), entry.origin))
        except UsageError as error:
            errors.append(ConfigError(entry.origin, f"{error.what}: {error.why}", hint=error.hint))
    return tuple(found)


def user_text(uid: int, jails: Sequence[str], before: bytes = b"", own: Mapping[str, str] = NOTHING) -> str:
    """Return the content of a user's file that puts uid ``uid`` into ``jails``.

    ``before`` is the content so far; what else it says, comments too, stays.  ``own``: other settings of the account.
    """
    top = {row.name for row in USER if not row.section}
    said: dict[str, str | dict[str, list[str]]] = {"uid": str(uid), "jail": " ".join(sorted(set(jails)))}
    said |= {key: value for key, value in own.items() if key in top}
    if limits := {key: value for key, value in own.items() if key not in top}:
        known = read_document(before, "").entries.get(LIMITS, {})
        now = {key: list(words_of(entry.raw)) for key, entry in known.items()}
        said[LIMITS] = now | {key: [value] for key, value in limits.items()}
    return edited(before, said)


def with_groups(before: bytes, groups: Mapping[str, Sequence[str]]) -> str:
    """Return the content of a user's file with these groups of keys and no others; an empty group is left out."""
    return edited(before, {GROUPS: {name: list(keys) for name, keys in groups.items() if keys}})


class KeyTaker:
    """Takes the key ``name`` out of the groups of a user's file, which may be damaged; ``groups`` are those it was in.

    Call it with each line in turn: it returns the line as it must be, never longer, or None for one that goes.
    """

    def __init__(self, name: str) -> None:
        self.groups: set[str] = set()
        self._name = name
        self._inside = False

    def __call__(self, row: bytes) -> bytes | None:
        """Return what becomes of the next line."""
        line = row.decode("utf-8", "surrogateescape")
        if head := _HEADER.match(line):
            self._inside = head[1].strip() == GROUPS
        entry = _ENTRY.match(line) if self._inside else None
        if not entry:
            return row
        # Words and what stands between them, in turns.
        parts = _BETWEEN.split(entry[2])
        words = [word.strip("\"'") for word in parts[::2]]
        if self._name not in words:
            return row
        self.groups.add(entry[1].strip(" \t=\"'"))
        kept = [number for number, word in enumerate(words) if word not in ("", self._name)]
        if not kept:
            return None
        text = "".join((", " if number != kept[0] else "") + parts[2 * number] for number in kept)
        if len(text) > len(entry[2]):
            text = ",".join(parts[2 * number] for number in kept)
        return f"{entry[1]}{text}{entry[3]}".encode("utf-8", "surrogateescape")


def edited(before: bytes, changes: Mapping[str, str | dict[str, list[str]] | None]) -> str:
    """Return the text ``before`` with these settings and sections; None takes one out; all else stays as it is."""
    lines = before.decode("utf-8").split("\n")  # as the reader does, which takes no other character for a line's end
    lines = [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]
    parsed = ConfigObj(lines, interpolation=False, list_values=True, encoding="utf-8", default_encoding=None)
    for key, value in changes.items():
        if value is None:
            if key in parsed:
                del parsed[key]
            continue
        if isinstance(value, str):
            parsed[key] = value
            continue
        if key not in parsed:
            parsed[key] = {}
            parsed.comments[key] = [""]
        section = parsed[key]
        for name in [name for name in section if name not in value]:
            del section[name]
        # One alone is written without the comma that would make it a list.
        section.update({name: keys if len(keys) > 1 else keys[0] for name, keys in value.items()})
        if not section:
            del parsed[key]
    for section in (parsed, *(parsed[name] for name in parsed.sections)):
        # With its "#" such a comment would be written without a blank in front.
        comments = {name: text.lstrip("# ") for name, text in section.inline_comments.items() if text}
        section.inline_comments.update(comments)
    return "".join(line.decode("utf-8") + "\n" for line in parsed.write())


def refuse_sections(document: Document, known: set[str], errors: list[JailsshError]) -> None:
    """Add an error to ``errors`` for every section of ``document`` that is not in ``known``."""
    for section in document.entries:
        if section not in known:
            hint = did_you_mean(section, known - {""})
            errors.append(
                ConfigError(document.headers.get(section, document.file), f"unknown section [{section}]", hint=hint)
            )
