"""Read configuration text into documents, and documents into values.

A :class:`Document` keeps where each value stands, so that ``config show`` can say so and every error names its line.
All errors of a document are found in one pass.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from configobj import ConfigObj, ConfigObjError

from jailssh.config.rights import RightsLine, Table, file_of, read_rights
from jailssh.config.settings import FORMER, Setting, SettingKind
from jailssh.config.values import Raw, parse
from jailssh.core.errors import ConfigError, JailsshError, raise_all
from jailssh.core.names import escape, pluralize
from jailssh.plugin.api import Value

_SECTION = re.compile(r"\s*\[\s*['\"]?([^\[\]'\"]*?)['\"]?\s*\]\s*(#.*)?\Z")
_KEY = re.compile(r"\s*['\"]?([^'\"=#\[]+?)['\"]?\s*=")
MAX_TEXT = 1 << 18


@dataclass(frozen=True)
class RawSetting:
    """A value as written, and where: ``file:line``, or a word such as ``default`` where there is no file.

    ``former``: the name by which the file has it, where that is its name of the version before.
    """

    raw: Raw
    origin: str
    former: str = ""


@dataclass(frozen=True)
class Document:
    """The entries of a file, by section ("" is the top of the file) and key, and where the sections begin.

    Keys are names of now, also where the file has those of the version before.

    ``tables``: the files that settings of kind ``rights`` name, by the path as written.
    """

    file: str
    entries: Mapping[str, Mapping[str, RawSetting]]
    headers: Mapping[str, str]
    tables: Mapping[str, Table] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Item:
    """One setting with its value, and where the value comes from; ``lines``: the same for each line of a table.

    ``former`` as for :class:`RawSetting`.
    """

    setting: Setting
    value: Value
    raw: Raw
    origin: str
    lines: tuple[RightsLine, ...] = ()
    former: str = ""


# The parser's time grows with the square of such a line.
_ENDLESS = re.compile(r"[\s\[]{200}|[ \t]*\[.{400}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint naming what ``name`` was probably meant to be, or what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"one of: {', '.join(names)}" if names else ""


def read_document(data: bytes | str, file: str) -> Document:
    """Return the document in ``data``; raises :class:`ConfigError` or :class:`ManyErrors` naming ``file:line``."""
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        raise ConfigError(file, f"is not UTF-8 text (byte {error.start})") from error
    if len(text) > MAX_TEXT or "\0" in text:
        raise ConfigError(file, "is not a configuration file")
    lines = text.split("\n")
    if '"""' in text or "'''" in text:
        raise ConfigError(file, "values over several lines (triple quotes) are not allowed")
    for number, line in enumerate(lines, 1):
        if _ENDLESS.match(line):
            raise ConfigError(f"{file}:{number}", "is too long for a section, or begins with too many blanks")
    try:
        # Without raise_errors all errors are collected and then raised as one, which is what we want to show.
        parsed = ConfigObj(
            # As a list: it would take a separator of Unicode's in a comment, such as U+2028, for the end of a line.
            list(lines),
            interpolation=False,
            list_values=True,
            file_error=True,
            encoding="utf-8",
            default_encoding=None,
        )
    except ConfigObjError as error:
        raise_all([_syntax_error(file, each) for each in (getattr(error, "errors", None) or [error])])
        raise
    return _with_lines(parsed, lines, file)


# What configobj says -> the same for people, and a cure.
_SYNTAX = (
    ("Invalid line", "'{line}' is neither a setting nor a section", "write: name = value, or [section]"),
    ("Parse error in value", "the value has an open or a stray quote: {line}", "quote the value as a whole"),
    ("Parse error in multiline", "the value has no end: {line}", "end it with the three quotes that begin it"),
    ("Duplicate section", "section {line} is a duplicate", "put the settings of both into one"),
    ("Duplicate keyword", "the setting is a duplicate: {line}", "keep one of them"),
    ("Section too nested", "{line} is a section within a section", "write one pair of brackets"),
)
# Likewise, of a line with a semicolon, with which comments begin elsewhere.
_COMMENT = (("Invalid line", "'{line}' is neither a setting nor a section", "write a comment with '#'"),)


def _syntax_error(file: str, error: ConfigObjError) -> ConfigError:
    number, line = getattr(error, "line_number", None), str(getattr(error, "line", "") or "").strip()
    where = f"{file}:{number}" if number else file
    why = re.sub(r"\s*at line \d+\.?", "", str(getattr(error, "msg", "") or error)).strip().rstrip(".")
    for begins, told, hint in (*_COMMENT, *_SYNTAX) if ";" in line else _SYNTAX:
        if why.startswith(begins):
            return ConfigError(where, told.format(line=escape(line, 60)), hint=hint)
    return ConfigError(where, why[:1].lower() + why[1:])


def _with_lines(parsed: ConfigObj, lines: Sequence[str], file: str) -> Document:
    numbers: dict[tuple[str, str], int] = {}
    headers: dict[str, str] = {}
    section = ""
    for number, line in enumerate(lines, 1):
        if match := _SECTION.match(line):
            section = match[1].strip()
            headers[section] = f"{file}:{number}"
        elif (match := _KEY.match(line)) and not line.lstrip().startswith("#"):
            numbers.setdefault((section, match[1].strip()), number)
    entries: dict[str, Mapping[str, RawSetting]] = {}
    errors: list[JailsshError] = []
    for name in ("", *parsed.sections):
        source = parsed if name == "" else parsed[name]
        for inner in source.sections if name else ():
            errors.append(ConfigError(headers.get(name, file), f"[{name}] contains a section [[{inner}]]"))
        found: dict[str, RawSetting] = {}
        for key in source.scalars:
            raw = tuple(source[key]) if isinstance(source[key], list) else source[key]
            origin = f"{file}:{numbers.get((name, key), 1)}"
            now = FORMER.get((name, key), key)
            if now != key and now in source.scalars:
                why = f"{key!r} is now {now!r}, which is also set"
                errors.append(ConfigError(origin, why, hint=f"keep one of them: {now}"))
            else:
                found[now] = RawSetting(raw, origin, key if now != key else "")
        entries[name] = MappingProxyType(found)
    raise_all(errors)
    return Document(file, MappingProxyType(entries), MappingProxyType(headers))


def read_section(
    document: Document, section: str, settings: Sequence[Setting], errors: list[JailsshError]
) -> dict[str, Item]:
    """Return the items of one section, defaults filled in; adds to ``errors`` what is unknown or malformed."""
    rows = {row.name: row for row in settings if row.section == section}
    items: dict[str, Item] = {}
    given = document.entries.get(section, {})
    for key, entry in given.items():
        if key not in rows:
            written = entry.former or key
            where = f"[{section}] {written}" if section else written
            errors.append(ConfigError(f"{entry.origin}", f"unknown setting {where}", hint=did_you_mean(key, rows)))
    for name, row in rows.items():
        entry = given.get(name, RawSetting(row.default, "default"))
        if row.kind == SettingKind.RIGHTS:
            lines = read_rights(entry.raw, entry.origin, document.tables, errors)
            items[name] = Item(row, tuple(line.text for line in lines), entry.raw, entry.origin, lines)
            continue
        try:
            items[name] = Item(row, parse(row.kind, entry.raw), entry.raw, entry.origin, former=entry.former)
        except ValueError as error:
            errors.append(ConfigError(entry.origin, f"{entry.former or name}: {error}"))
    return items


def show(items: Iterable[Item]) -> list[tuple[str, str, str, str]]:
    """Return ``(section, name, value as written, origin)`` for each item, for ``config show``."""
    return [(item.setting.section, item.setting.name, _shown(item), item.origin) for item in items]


def _shown(item: Item) -> str:
    if item.lines:
        return f"{file_of(item.raw)} ({pluralize(len(item.lines), 'line')})".lstrip()
    return item.raw if isinstance(item.raw, str) else ", ".join(item.raw)
