"""The archive: text that can be read, kept and compared in an editor.  Pure: bytes in, bytes out.

The first line is the magic with the version.  Then sections, each with a head that begins with ``===`` and says kind,
name, attributes and the SHA-256 digest of its content; each line of content stands behind a ``|``, so that none can
pass for a head.  The last line is the digest of all lines above it.  The same state gives the same bytes: sections
stand in the order of their kinds and names, and nothing says when or where the archive was made.  There is no
compression, no link, no owner and no number of a device: what the text cannot say cannot come out of it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field

from jailssh.config.account_list import password_hash
from jailssh.core.closed import Word
from jailssh.core.errors import ConfigError, JailsshError, UsageError, parts, raise_all
from jailssh.core.names import MAX_UID, TURNING, check_account_name, check_jail_name, escape, is_clean_absolute

MAGIC = "jailssh-archive"
VERSION = 1
MAX_ARCHIVE = 64 << 20
MAX_FILE = 16 << 20
MAX_DEPTH = 8
# Names of accounts (a trailing "$" too), keys and jails with their endings; no file has a longer one.
_PART = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_.@+$-]{0,254}\Z")
_HEAD = re.compile(r"=== (file|group|account) (\S+) (?:mode=(0[0-7]{3}) )?(?:(unended) )?sha256=([0-9a-f]{64})\Z")
_END = re.compile(r"=== end secrets=(yes|no) sha256=([0-9a-f]{64})\Z")
# What a terminal, or a reader of lines, would take for something else than text.
_NO_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{''.join(sorted(TURNING))}]")
_RANGE = re.compile(r"[1-9][0-9]{0,9}:[1-9][0-9]{0,9}\Z")
_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,9})\Z")
# Directories have groups such as "domain users", which are the primary ones there.
_GROUP_NAME = re.compile(r"(?![0-9]+\Z)[^\s:,]+(?: +[^\s:,]+)*\Z")
_MOST_IDS = 1 << 32


class Kind(Word):
    """What a section is about, in the order in which they stand."""

    FILE = "file"
    GROUP = "group"
    ACCOUNT = "account"


class Origin(Word):
    """Where an account comes from: /etc/passwd, or a directory service, from which no import makes one."""

    LOCAL = "local"
    DIRECTORY = "directory"


@dataclass(frozen=True)
class CarriedFile:
    """A file below /etc/jailssh: its mode, and its text."""

    mode: int
    text: str


@dataclass(frozen=True)
class CarriedAccount:
    """An account: numbers and texts as passwd(5) and shadow(5) have them.

    ``groups``: others than its primary one and ours.  ``shell_before``: the login shell that it had before it came
    into a jail, "" if it was made for one.  ``jails``: empty where it is in one by its groups.  ``password``: the hash,
    "" for none that was carried.  ``subuids``, ``subgids``: ranges (subuid(5)), by first number and count.
    ``locked``: by ``jailssh lock``; ``expires`` is the day that holds once it is unlocked.
    """

    name: str
    uid: int
    gid: int
    _: KW_ONLY
    group: str
    home: str
    groups: tuple[str, ...] = ()
    gecos: str = ""
    shell_before: str = ""
    expires: int | None = None
    jails: tuple[str, ...] = ()
    password: str = ""
    subuids: tuple[tuple[int, int], ...] = ()
    subgids: tuple[tuple[int, int], ...] = ()
    locked: bool = False
    origin: Origin = Origin.LOCAL


@dataclass(frozen=True)
class Archive:
    """``files`` by path below /etc/jailssh, ``accounts`` by name, ``groups``: the gids of theirs by name.

    ``secrets``: whether there are hashes and files of root's alone.
    """

    files: Mapping[str, CarriedFile] = field(default_factory=dict)
    groups: Mapping[str, int] = field(default_factory=dict)
    accounts: Mapping[str, CarriedAccount] = field(default_factory=dict)
    secrets: bool = False


def why_no_text(text: str) -> str:
    """Return why this cannot be content, or ""."""
    if len(text.encode("utf-8", "surrogateescape")) > MAX_FILE:
        return f"is larger than {MAX_FILE} bytes"
    if any("\ud800" <= char <= "\udfff" for char in text):
        return "is not UTF-8"
    found = _NO_TEXT.search(text.replace("\r\n", "\n"))
    return f"contains a character that is no text: U+{ord(found[0]):04X}" if found else ""


def why_no_path(path: str) -> str:
    """Return why this cannot be the path of a file below /etc/jailssh, or ""."""
    parts = path.split("/")
    if len(parts) > MAX_DEPTH:
        return f"has more than {MAX_DEPTH} components"
    return "" if all(map(_PART.match, parts)) else "is not a plain path below /etc/jailssh"


def write(archive: Archive) -> bytes:
    """Return the archive's bytes."""
    lines = [f"{MAGIC} {VERSION}"]
    for path, each in sorted(archive.files.items()):
        unended = "unended " if each.text and not each.text.endswith("\n") else ""
        lines += _section(Kind.FILE, path, f"mode={each.mode:04o} {unended}", each.text)
    for name, gid in sorted(archive.groups.items()):
        lines += _section(Kind.GROUP, name, "", f"gid = {gid}\n")
    for name, account in sorted(archive.accounts.items()):
        lines += _section(Kind.ACCOUNT, name, "", _account_text(account))
    body = "".join(f"{line}\n" for line in lines)
    return f"{body}=== end secrets={'yes' if archive.secrets else 'no'} sha256={_digest(body)}\n".encode()


def _section(kind: Kind, name: str, attributes: str, text: str) -> list[str]:
    return [f"=== {kind} {name} {attributes}sha256={_digest(text)}", *(f"|{line}" for line in _lines(text))]


def account_lines(account: CarriedAccount) -> list[str]:
    """Return an account as its section has it."""
    return _lines(_account_text(account))


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n") if text else []


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _account_text(account: CarriedAccount) -> str:
    values = _values(account)
    return "".join(f"{key} = {values[key]}".rstrip() + "\n" for key in values if values[key])


def _values(account: CarriedAccount) -> dict[str, str]:
    return {
        "uid": str(account.uid),
        "gid": str(account.gid),
        "group": account.group,
        "groups": " ".join(sorted(account.groups)),
        "gecos": account.gecos,
        "home": account.home,
        "shell-before": account.shell_before,
        "expires": "" if account.expires is None else str(account.expires),
        "locked": "yes" if account.locked else "",
        "origin": account.origin if account.origin != Origin.LOCAL else "",
        "jails": " ".join(sorted(account.jails)),
        "subuids": " ".join(f"{first}:{count}" for first, count in account.subuids),
        "subgids": " ".join(f"{first}:{count}" for first, count in account.subgids),
        "password": account.password,
    }


def read(data: bytes, source: str) -> Archive:
    """Return what an archive says; raises :class:`ConfigError`, all mistakes at once, for one that is not as written.

    ``source`` names it to people.  Nothing in it is believed before its digests are right.
    """
    lines = _checked(data, source)
    end = _END.match(lines[-1])
    assert end
    secrets = end[1] == "yes"
    files: dict[str, CarriedFile] = {}
    groups: dict[str, int] = {}
    accounts: dict[str, CarriedAccount] = {}
    errors: list[JailsshError] = []
    last: tuple[int, str] = (0, "")
    for number, head, text in _sections(lines, source):
        where, kind, name = f"{source}:{number}", Kind(head[1]), head[2]
        what = f"{kind} {escape(name, 80)}"
        order = (list(Kind).index(kind), name)
        try:
            if order <= last:
                raise ConfigError(where, f"{what} {'is named twice' if order == last else 'is not in its place'}")
            last = order
            if _digest(text) != head[5]:
                raise ConfigError(where, f"{what} does not have its digest: it was changed or damaged")
            if why := why_no_text(text):
                raise ConfigError(where, f"{what} {why}")
            if kind == Kind.FILE:
                files[name] = _file(name, head[3], text, where)
            elif kind == Kind.GROUP:
                groups[check_account_name(name)] = _gid(text, where)
            else:
                accounts[name] = _account(name, text, where, secrets=secrets)
        except JailsshError as error:
            errors += _placed(error, where)
    raise_all(errors)
    found = Archive(files, groups, accounts, secrets)
    if write(found) != data:
        raise ConfigError(source, "is not written as an archive has it")
    return found


def _placed(error: JailsshError, where: str) -> list[JailsshError]:
    """Return the errors with the place in the archive."""
    found = parts(error)
    for each in found:
        if not each.what.startswith(where):
            each.what = f"{where}: {each.what}"
    return found


def _checked(data: bytes, source: str) -> list[str]:
    """Return the lines of an archive that is whole, of this version, and text."""
    if len(data) > MAX_ARCHIVE:
        raise ConfigError(source, f"is larger than {MAX_ARCHIVE} bytes, the limit for an archive")
    if not data.startswith(f"{MAGIC} ".encode()):
        raise ConfigError(source, "is not an archive of jailssh", hint="make one: jailssh export FILE")
    if (first := data.split(b"\n", 1)[0]) != f"{MAGIC} {VERSION}".encode():
        raise ConfigError(source, f"has the format of another version: {escape(first, 60)}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError(f"{source}:{line}", "is not UTF-8") from None
    lines = text.split("\n")
    end = _END.match(lines[-2]) if len(lines) > 2 and not lines[-1] else None
    if end is None:
        raise ConfigError(source, "does not have its last line: it is cut off or damaged")
    if _digest(text[: -len(lines[-2]) - 1]) != end[2]:
        raise ConfigError(source, "does not have its digest: it was changed or damaged")
    return lines[:-1]


def _sections(lines: list[str], source: str) -> Iterator[tuple[int, re.Match[str], str]]:
    """Yield the number of each head's line, the head and the text below it."""
    at = 1
    while at < len(lines) - 1:
        head = _HEAD.match(lines[at])
        if head is None or (head[1] == Kind.FILE) != bool(head[3]) or (head[4] and not head[3]):
            raise ConfigError(f"{source}:{at + 1}", f"is not the head of a section: {escape(lines[at], 60)}")
        begin = at
        at += 1
        while at < len(lines) - 1 and lines[at].startswith("|"):
            at += 1
        content = [line[1:] for line in lines[begin + 1 : at]]
        text = "\n".join(content) + ("\n" if content and not head[4] else "")
        yield begin + 1, head, text


def _file(path: str, mode: str, text: str, where: str) -> CarriedFile:
    if why := why_no_path(path):
        raise ConfigError(where, f"file {escape(path, 80)} {why}")
    bits = int(mode, 8)
    if bits & 0o133 or not bits & 0o600 == 0o600:
        raise ConfigError(where, f"file {path} has mode {mode}; others than root would write it, or nobody")
    return CarriedFile(bits, text)


def _gid(text: str, where: str) -> int:
    found = re.fullmatch(r"gid = ([1-9][0-9]{0,9})\n", text)
    if found is None or int(found[1]) > MAX_UID:
        raise ConfigError(where, f"is not the gid of a group: {escape(text, 60)}")
    return int(found[1])


def _account(name: str, text: str, where: str, *, secrets: bool) -> CarriedAccount:
    account = parse_account(name, text, where, secrets=secrets)
    # Whatever says the same in another way, or has a field that is not known, is not what export writes.
    if account_lines(account) != _lines(text):
        raise ConfigError(where, f"account {name}: is not written as an archive has it")
    return account


def parse_account(name: str, text: str, where: str, *, secrets: bool = False) -> CarriedAccount:
    """Return the account that lines such as ``uid = 7001`` describe, in any order; raises :class:`ConfigError`.

    ``where`` names the place to people.  ``secrets``: a password may be among them.
    """
    check_account_name(name)
    values: dict[str, str] = {}
    for line in _lines(text):
        key, equals, value = line.partition(" = ")
        if not equals or key in values:
            raise ConfigError(where, f"account {name}: not understood: {escape(line, 60)}")
        values[key] = value
    try:
        account = CarriedAccount(
            name,
            _number(values["uid"]),
            _number(values["gid"]),
            group=_group_name(values["group"]),
            home=values["home"],
            groups=tuple(map(check_account_name, values.get("groups", "").split())),
            gecos=values.get("gecos", ""),
            shell_before=values.get("shell-before", ""),
            expires=_number(values["expires"]) if "expires" in values else None,
            jails=tuple(map(check_jail_name, values.get("jails", "").split())),
            password=values.get("password", ""),
            subuids=_ranges(values.get("subuids", "")),
            subgids=_ranges(values.get("subgids", "")),
            locked="locked" in values,
            origin=Origin(values.get("origin", Origin.LOCAL)),
        )
    except (KeyError, ValueError) as error:
        raise ConfigError(where, f"account {name}: missing or not understood: {escape(str(error), 60)}") from None
    if why := _why_no_account(account, secrets=secrets):
        raise ConfigError(where, f"account {name}: {why}")
    return account


def why_not_carried(account: CarriedAccount) -> str:
    """Return why an archive that has this account would not be read, or ""."""
    where = "archive"
    try:
        same = parse_account(account.name, _account_text(account), where, secrets=True) == account
    except JailsshError as error:
        return "; ".join(str(each).removeprefix(f"{where}: account {account.name}: ") for each in parts(error))
    return "" if same else "it would be another one in the archive"


def is_group_carried(name: str, gid: int) -> bool:
    """True if an archive can have a section of a group, and its name among the groups of accounts."""
    try:
        return 0 < gid <= MAX_UID and bool(check_account_name(name))
    except UsageError:
        return False


def _group_name(text: str) -> str:
    if not _GROUP_NAME.match(text) or why_no_text(text):
        raise UsageError(f"group name {text!r}", "is not valid")
    return text


def _why_no_account(account: CarriedAccount, *, secrets: bool) -> str:
    """Return why this cannot be an account of passwd(5) and shadow(5) that is in a jail, or ""."""
    if not (0 < account.uid <= MAX_UID and 0 < account.gid <= MAX_UID):
        return f"uid or gid is not between 1 and {MAX_UID}"
    if not is_clean_absolute(account.home) or not account.home.strip("/") or account.home.find(":") >= 0:
        return "home is not a home directory"
    if account.shell_before and not is_clean_absolute(account.shell_before):
        return "shell-before is not a path"
    day = account.expires
    if any(char in account.gecos for char in ":\r\n\t") or (day is not None and not 0 < day < 1 << 31):
        return "gecos or expires is not what passwd(5) and shadow(5) can hold"
    if any(first + count > _MOST_IDS for first, count in (*account.subuids, *account.subgids)):
        return f"subordinate ids are above {_MOST_IDS - 1}"
    if account.password and not secrets:
        return "has a password, and the archive says that it has no secrets"
    if account.password:
        try:
            return "" if password_hash(account.password, "password") else "password is one that nothing fits"
        except UsageError:
            return "password is not a hash of crypt(5)"
    return ""


def _number(text: str) -> int:
    if not _NUMBER.match(text):
        raise ValueError(text)
    return int(text)


def _ranges(text: str) -> tuple[tuple[int, int], ...]:
    found = []
    for word in text.split():
        if not _RANGE.match(word):
            raise ValueError(word)
        first, count = map(int, word.split(":"))
        found.append((first, count))
    return tuple(found)
