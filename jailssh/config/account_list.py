"""A list of accounts as CSV (RFC 4180): what spreadsheets, directories and scripts hand out.

The first line names the columns, of which only ``name`` must be there.  Commas or, where the first line has none,
semicolons separate; a byte-order mark and CRLF are taken.  Every mistake is found before anybody acts on the list.
"""

from __future__ import annotations

import csv
import datetime
import io
import re
from collections.abc import Callable
from dataclasses import dataclass

from jailssh.core.errors import ConfigError, JailsshError, UsageError, raise_all
from jailssh.core.names import MAX_UID, check_account_name, check_jail_name, escape, is_clean_absolute

COLUMNS = ("name", "jail", "home", "uid", "gecos", "key", "password", "expires")
MAX_LIST = 64 << 20
_EPOCH = datetime.date(1970, 1, 1)
# crypt(5): $id$parameters$salt$hash, and "!" in front of one that is locked.
_HASH = re.compile(r"!?\$[a-z0-9]{1,8}\$[./A-Za-z0-9$=,-]{8,400}\Z")
_NO_PASSWORD = re.compile(r"[*!]*(LK\*)?\Z|x\Z")


@dataclass(frozen=True)
class Row:
    """One account; ``where`` is ``file:line``.  ``keys``: texts of keys or paths.  ``password``, ``expires``: as
    :func:`password_hash` and :func:`day` return them."""

    where: str
    name: str
    jails: tuple[str, ...] = ()
    home: str | None = None
    uid: int | None = None
    gecos: str = ""
    keys: tuple[str, ...] = ()
    password: str = ""
    expires: int | None = None


def password_hash(text: str, what: str) -> str:
    """Return a password's hash, "" for the texts of shadow(5) that no password fits; a clear password is an error."""
    text = text.strip()
    if _NO_PASSWORD.match(text):
        return ""
    if not _HASH.match(text):
        hint = "make one: mkpasswd --method=yescrypt, or openssl passwd -6; * for none"
        raise UsageError(what, "is not a password hash of crypt(5)", hint=hint)
    return text


def day(text: str, what: str) -> int | None:
    """Return a date ``YYYY-MM-DD`` as days since 1970, None for an empty text."""
    text = text.strip()
    if not text:
        return None
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError
        days = (datetime.date.fromisoformat(text) - _EPOCH).days
    except ValueError:
        raise UsageError(what, f"{escape(text, 40)!r} is not a date such as 2027-01-31") from None
    if days < 1:
        raise UsageError(what, f"{text} is before 1970-01-02, from which shadow(5) counts")
    return days


def _jail_names(text: str) -> tuple[str, ...]:
    """Return the names in a text such as ``sftp,scp`` or ``sftp scp``, sorted, each once."""
    return tuple(sorted({check_jail_name(name.strip()) for name in re.split(r"[,;+\s]+", text.strip())}))


def read(data: bytes, source: str) -> list[Row]:
    """Return the accounts in their order; raises all mistakes at once, each with its line."""
    text = _text(data, source)
    head = text.split("\n", 1)[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if ";" in head and "," not in head else ",", strict=True
    )
    rows: list[Row] = []
    errors: list[JailsshError] = []
    seen: dict[str, str] = {}
    columns: list[str] | None = None
    start = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            # Where a quote is open nothing that follows means anything.
            raise ConfigError(f"{source}:{start}", f"is not CSV: {error}") from error
        where, start = f"{source}:{start}", reader.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if columns is None:
            columns = _columns(cells, where)
            continue
        try:
            row = _row(dict(_named(columns, cells, where)), where)
            if (first := seen.setdefault(row.name, where)) != where:
                raise UsageError(f"{where}: account {row.name}", f"is also in {first}")
            rows.append(row)
        except JailsshError as error:
            errors.append(error)
    if columns is None:
        raise ConfigError(source, "is empty", hint=f"its first line names the columns: {','.join(COLUMNS)}")
    raise_all(errors)
    return rows


def _text(data: bytes, source: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        hint = f"convert it: iconv -f LATIN1 -t UTF-8 {source}"
        raise ConfigError(f"{source}:{line}", "is not UTF-8", hint=hint) from None
    if "\0" in text:
        raise ConfigError(f"{source}:{text[: text.index(chr(0))].count(chr(10)) + 1}", "contains a NUL byte")
    return text


def _columns(cells: list[str], where: str) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    hint = f"the first line names the columns: {','.join(COLUMNS)}"
    if "name" not in columns:
        raise ConfigError(where, "does not name the column 'name'", hint=hint)
    for name in columns:
        if name not in COLUMNS:
            raise ConfigError(where, f"unknown column {escape(name, 40)!r}", hint=hint)
        if columns.count(name) > 1:
            raise ConfigError(where, f"names the column {name!r} twice", hint=hint)
    return columns


def _named(columns: list[str], cells: list[str], where: str) -> list[tuple[str, str]]:
    if any(cell.strip() for cell in cells[len(columns) :]):
        why = f"has {len(cells)} values, expected {len(columns)}"
        raise ConfigError(where, why, hint="put a value that contains the separator into double quotes")
    return list(zip(columns, (cell.strip() for cell in cells), strict=False))


def _row(cells: dict[str, str], where: str) -> Row:
    errors: list[JailsshError] = []

    def value(name: str, act: Callable[[str], object]) -> object:
        try:
            return act(cells.get(name, ""))
        except JailsshError as error:
            errors.append(UsageError(f"{where}: {error.what}", error.why, hint=error.hint))
            return None

    value("name", check_account_name)
    jails = value("jail", lambda text: _jail_names(text) if text else ())
    home = value("home", _home)
    uid = value("uid", _uid)
    hashed = value("password", lambda text: password_hash(text, "password"))
    expires = value("expires", lambda text: day(text, "expires"))
    raise_all(errors)
    keys = tuple(filter(None, (line.strip() for line in cells.get("key", "").splitlines())))
    assert isinstance(jails, tuple)
    assert home is None or isinstance(home, str)
    assert uid is None or isinstance(uid, int)
    assert isinstance(hashed, str)
    assert expires is None or isinstance(expires, int)
    return Row(where, cells["name"], jails, home, uid, cells.get("gecos", ""), keys, hashed, expires)


def _home(text: str) -> str | None:
    if text and (text == "/" or not is_clean_absolute(text) or ":" in text):
        raise UsageError(f"home {escape(text, 200)!r}", "is not a plain absolute path")
    return text or None


def _uid(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or not 0 < int(text[:12]) <= MAX_UID:
        raise UsageError(f"uid {escape(text, 40)!r}", f"is not a number between 1 and {MAX_UID}")
    return int(text)
