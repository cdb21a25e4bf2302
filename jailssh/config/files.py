"""The main file and the users' files as typed values."""

from __future__ import annotations

from dataclasses import dataclass

from jailssh.config.reader import Document, Item, nearest, raise_all, read_document, read_section
from jailssh.config.settings import MAIN, USER
from jailssh.core.errors import ConfigError, JailsshError, UsageError
from jailssh.core.names import MAX_UID, check_jail_name


@dataclass(frozen=True)
class MainConfig:
    """``jailssh.conf``.  ``build_timeout`` is in seconds."""

    require_journal: bool
    build_timeout: int
    third_party_plugins: tuple[str, ...]
    refuse_groups: tuple[str, ...]
    min_uid: int
    keep_generations: int
    items: tuple[Item, ...]


@dataclass(frozen=True)
class UserConfig:
    """``users/NAME.conf``: which jails (or plugins) the account with this name and uid is in."""

    name: str
    uid: int
    jails: tuple[str, ...]
    items: tuple[Item, ...]


def read_main(data: bytes | str, file: str) -> MainConfig:
    """Return the main configuration; an empty text gives the defaults."""
    document = read_document(data, file)
    errors: list[JailsshError] = []
    refuse_sections(document, {""}, errors)
    items = read_section(document, "", MAIN, errors)
    raise_all(errors)
    values = {name: item.value for name, item in items.items()}
    return MainConfig(**values, items=tuple(items.values()))  # type: ignore[arg-type]


def read_user(data: bytes | str, file: str, name: str) -> UserConfig:
    """Return the configuration of the account ``name``."""
    document = read_document(data, file)
    errors: list[JailsshError] = []
    refuse_sections(document, {""}, errors)
    missing = [row.name for row in USER if row.name not in document.entries[""]]
    errors.extend(ConfigError(file, f"{key} is missing") for key in missing)
    rows = tuple(row for row in USER if row.name not in missing)
    items = read_section(document, "", rows, errors)
    raise_all(errors)
    uid, jails = items["uid"], items["jail"]
    assert isinstance(uid.value, int) and isinstance(jails.value, tuple)
    if not 0 < uid.value <= MAX_UID:
        errors.append(ConfigError(uid.origin, f"uid {uid.value} is not between 1 and {MAX_UID}"))
    if not jails.value:
        errors.append(ConfigError(jails.origin, "jail names no jail", hint="jailssh deluser takes an account out"))
    for jail in jails.value:
        try:
            check_jail_name(jail)
        except UsageError as error:
            errors.append(ConfigError(jails.origin, f"{error.what}: {error.why}", hint=error.hint))
    raise_all(errors)
    return UserConfig(name, uid.value, tuple(sorted(set(jails.value))), tuple(items.values()))


def user_text(uid: int, jails: tuple[str, ...]) -> str:
    """Return the content of a user's file that puts uid ``uid`` into ``jails``."""
    return f"uid = {uid}\njail = {' '.join(sorted(set(jails)))}\n"


def refuse_sections(document: Document, known: set[str], errors: list[JailsshError]) -> None:
    """Add an error to ``errors`` for every section of ``document`` that is not in ``known``."""
    for section in document.entries:
        if section not in known:
            hint = nearest(section, known - {""})
            errors.append(
                ConfigError(document.headers.get(section, document.file), f"unknown section [{section}]", hint=hint)
            )
