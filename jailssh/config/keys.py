"""Public keys, read strictly, and the key ring of a shared account: keys with names, and groups of them.

A key line is ``TYPE BASE64 [COMMENT]`` and nothing else (sshd(8), AUTHORIZED_KEYS FILE FORMAT, without options); in a
key ring it may also be ``cert-authority,principals="a,b" TYPE BASE64 [COMMENT]``, whose key signs certificates.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from jailssh.config.reader import did_you_mean
from jailssh.core.errors import ConfigError, JailsshError, UsageError, raise_all
from jailssh.core.names import escape

# How many fields the key of a type has, its type included (RFC 4253 section 6.6, RFC 5656, RFC 8709, PROTOCOL.u2f).
TYPES: Mapping[str, int] = MappingProxyType(
    {
        "ssh-ed25519": 2,
        "ssh-rsa": 3,
        "ecdsa-sha2-nistp256": 3,
        "ecdsa-sha2-nistp384": 3,
        "ecdsa-sha2-nistp521": 3,
        "sk-ssh-ed25519@openssh.com": 3,
        "sk-ecdsa-sha2-nistp256@openssh.com": 4,
    }
)
MAX_LINE = 8192
"""OpenSSH before 7.8 reads lines of an authorized_keys file up to this many bytes."""
SUFFIX = ".pub"
ALL = "all"
"""``@all`` are all keys, so no group has this name."""
_BLANKS = re.compile(r"[ \t]+")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}\Z")
_PRINCIPAL = re.compile(r"[!-~]{1,255}\Z")
_AUTHORITY = re.compile(r'cert-authority,principals="([^"]*)"\s+(?=\S)')
CERTIFICATE = "-cert-v01@openssh.com"
"""With this ends the type of a certificate."""


def fingerprint(blob: str) -> str:
    """Return the fingerprint of a key as ``ssh-keygen -l`` prints it, "" for what is no base64."""
    try:
        digest = hashlib.sha256(base64.b64decode(blob)).digest()
    except ValueError:
        return ""
    return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")


@dataclass(frozen=True)
class Key:
    """One public key: its type, its base64 text as sshd writes it, its comment (printable, may be empty).

    ``principals``: with one or more it is an authority, whose certificates for one of them are taken.
    """

    kind: str
    blob: str
    comment: str = ""
    principals: tuple[str, ...] = ()

    def fingerprint(self) -> str:
        """Return the fingerprint as ``ssh-keygen -l`` prints it."""
        return fingerprint(self.blob)

    def authorized(self, login_program: str, label: str, *, terminal: bool) -> str:
        """Return the authorized_keys line for this key with ``label`` behind it, without a newline.

        ``restrict``: nothing is forwarded and no rc file runs; ``command``: the login program runs even where sshd's
        ``Match`` does not apply.
        """
        words = ["restrict", *(["pty"] if terminal else []), *self.signs(), f'command="{login_program}"']
        return f"{','.join(words)} {self.kind} {self.blob} {label}".rstrip()

    def text(self) -> str:
        """Return the line of a key ring's file, without a newline."""
        head = f"{','.join(self.signs())} " if self.principals else ""
        return f"{head}{self.kind} {self.blob} {self.comment}".rstrip()

    def signs(self) -> list[str]:
        """Return the options of an authorized_keys line that make the key an authority; none for a plain key."""
        return ["cert-authority", f'principals="{",".join(self.principals)}"'] if self.principals else []


@dataclass(frozen=True)
class Group:
    """A group of keys, as a user's file has it: its name, the names of its keys, and where it stands."""

    name: str
    keys: tuple[str, ...]
    origin: str


@dataclass(frozen=True)
class Keyring:
    """The named keys of an account, by name, and the groups that each is in.

    ``strangers``: groups, with those of their names that no key has.  ``shared``: keys have names here; without any
    key nobody logs in then.
    """

    keys: Mapping[str, tuple[Key, ...]]
    groups: Mapping[str, tuple[str, ...]]
    strangers: tuple[Group, ...] = ()
    shared: bool = True

    def roles(self, name: str) -> frozenset[str]:
        """Return the names by which the holder of this key gets rights."""
        return frozenset((name, *(f"@{group}" for group in self.groups[name]), f"@{ALL}"))

    def lines(self, login_program: str, *, terminal: bool) -> list[str]:
        """Return the lines of the account's authorized_keys file."""
        return [
            key.authorized(login_program, name, terminal=terminal) for name, keys in self.keys.items() for key in keys
        ]

    def entries(self) -> set[tuple[str, str, str]]:
        """Return who logs in by what: name, key, and the principal where the key is an authority, else ""."""
        return {
            (name, key.blob, principal)
            for name, keys in self.keys.items()
            for key in keys
            for principal in key.principals or ("",)
        }

    def stale(self) -> list[ConfigError]:
        """Return what is to be said of names in groups that no key has: a mistake, or a key that was taken away."""
        found = []
        for group in self.strangers:
            for name in group.keys:
                close = did_you_mean(name, self.keys)
                hint = close if close.startswith("did") else "remove the name from the group"
                found.append(ConfigError(group.origin, f"group {group.name}: key {name!r} does not exist", hint=hint))
        return found


NO_KEYS = Keyring(MappingProxyType({}), MappingProxyType({}), shared=False)


def is_name(name: str) -> bool:
    """True for what can name a key or a group of keys."""
    return _NAME.match(name) is not None


def check_name(name: str, what: str = "key name") -> str:
    """Return ``name`` if it can name a key or a group of keys, else raise :class:`UsageError`."""
    if not is_name(name):
        hint = "letters, digits and '_.+-', not beginning with '.', '+' or '-', at most 200"
        raise UsageError(f"{what} {escape(name, 60)!r}", "not a name", hint=hint)
    return name


def check_group(name: str) -> str:
    """Return ``name`` if it can name a group of keys, else raise :class:`UsageError`."""
    if name == ALL:
        raise UsageError(f"group {name!r}", f"@{ALL} means all keys of the account, so a group cannot have this name")
    return check_name(name, "group")


def check_principal(text: str) -> str:
    """Return ``text`` if it can be the principal of an authority, else raise :class:`UsageError`."""
    if not _PRINCIPAL.match(text) or set(text) & set('",\\'):
        why = "is not a principal: printable, without blank, comma, quote and backslash, at most 255 characters"
        raise UsageError(f"principal {escape(text, 60)!r}", why)
    return text


def lines_of(text: str) -> list[str]:
    """Return the lines of a file of keys as sshd splits it: a newline ends one, and nothing else does.

    ``str.splitlines`` also splits at U+2028, form feeds and the like, which may stand in a comment: what follows would
    become a line of its own, with a key in it and without what limits that key.
    """
    lines = text.split("\n")
    return lines[:-1] if not lines[-1] else lines


def words_of(line: str, most: int = -1) -> list[str]:
    """Return the words of a line as sshd splits it, at blanks and tabs; at most ``most`` cuts are made."""
    return [word for word in _BLANKS.split(line.strip(" \t\r"), max(most, 0)) if word]


def parse_keys(text: bytes, source: str) -> list[Key]:
    """Return the keys in the public key file ``text``; ``source`` names it in errors (:class:`UsageError`)."""
    return list(_parse(text, source, authorities=False))


@lru_cache(maxsize=1 << 12)
def _parse(text: bytes, source: str, *, authorities: bool) -> tuple[Key, ...]:
    if b"PRIVATE KEY-----" in text:
        raise UsageError(source, "is a private key", hint="use the public key, the file that ends in .pub")
    keys: list[Key] = []
    for number, raw in enumerate(text.split(b"\n"), 1):
        line = raw.strip(b" \t\r")
        if line and not line.startswith(b"#"):
            key = _parse_line(line.decode("utf-8", "surrogateescape"), f"{source}:{number}", authorities)
            if (key.blob, key.principals) not in {(other.blob, other.principals) for other in keys}:
                keys.append(key)
    if not keys:
        raise UsageError(source, "does not contain a public key")
    return tuple(keys)


def _parse_line(line: str, where: str, authorities: bool) -> Key:
    if len(line) > MAX_LINE - 512:
        hint = "write the principals on several lines, each with the key" if line.startswith("cert-") else ""
        raise UsageError(where, "the line is too long for sshd", hint=hint)
    principals: tuple[str, ...] = ()
    head = _AUTHORITY.match(line) if authorities else None
    if head:
        try:
            principals = tuple(dict.fromkeys(check_principal(each) for each in head[1].split(",")))
        except UsageError as error:
            raise UsageError(where, f"{error.what} {error.why}") from error
        line = line[head.end() :]
    words = words_of(line, 2)
    if words[0] not in TYPES:
        raise _no_type(words, where, authorities)
    if len(words) < 2:
        raise UsageError(where, "the key is missing after its type")
    blob = _blob(words[1], words[0])
    if not blob:
        raise UsageError(where, f"the key is damaged or not of type {words[0]}")
    return Key(words[0], blob, escape(words[2], 200) if len(words) == 3 else "", principals)


def _no_type(words: Sequence[str], where: str, authorities: bool) -> UsageError:
    if words[0].endswith(CERTIFICATE):
        hint = "use the authority's public key, with the principals that it may sign for"
        return UsageError(where, "is a certificate, not a key", hint=hint)
    if any(kind in words[1:] or f" {kind} " in f" {words[-1]} " for kind in TYPES):
        hint = 'write the key alone, or cert-authority,principals="NAME,NAME" and the key' if authorities else ""
        return UsageError(where, "options before a key are not allowed", hint=hint or "write the key alone")
    hint = "one of " + ", ".join(sorted(TYPES))
    return UsageError(where, f"{escape(words[0], 60)!r} is not a key type", hint=hint)


def _blob(text: str, kind: str) -> str:
    """Return the base64 text of a key of this type as sshd would write it; "" where ``text`` is none."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeError):
        return ""
    fields = wire_fields(data)
    if len(fields) != TYPES[kind] or fields[0] != kind.encode("ascii") or not all(fields):
        return ""
    return base64.b64encode(data).decode("ascii")


def wire_fields(data: bytes) -> list[bytes]:
    """Return the fields of a key as SSH sends it (RFC 4251, section 5: string); none where it is cut off."""
    found, at = [], 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return found if at == len(data) else []


def name_of_file(path: str) -> str:
    """Return the key's name in the path of a key ring's file; :class:`ConfigError` where it has none."""
    file = path.rsplit("/", 1)[-1]
    try:
        if not file.endswith(SUFFIX):
            raise UsageError(path, "is not named NAME.pub")
        return check_name(file.removesuffix(SUFFIX))
    except UsageError as error:
        raise ConfigError(path, "is not a key file", hint=f"rename it to NAME{SUFFIX}, or remove it") from error


def read_keyring(files: Mapping[str, bytes], groups: Iterable[Group]) -> Keyring:
    """Return the key ring in ``files``, by path, with ``groups``; every error in one pass (:class:`ConfigError`).

    A name in a group that no key has gives nobody anything, so it is no error: see :meth:`Keyring.stale`.
    """
    errors: list[JailsshError] = []
    keys: dict[str, tuple[Key, ...]] = {}
    seen: dict[tuple[str, str], str] = {}
    for path in sorted(files):
        try:
            name = name_of_file(path)
            keys[name] = _parse(files[path], path, authorities=True)
        except JailsshError as error:
            errors.append(ConfigError(error.what, error.why, hint=error.hint))
            continue
        for key in keys[name]:
            errors += _twice(key, path, seen)
    member: dict[str, set[str]] = {name: set() for name in keys}
    raise_all(errors)
    strangers = []
    for group in groups:
        for name in member.keys() & set(group.keys):
            member[name].add(group.name)
        if unknown := tuple(name for name in group.keys if name not in member):
            strangers.append(Group(group.name, unknown, group.origin))
    in_groups = {name: tuple(sorted(found)) for name, found in member.items()}
    return Keyring(MappingProxyType(keys), MappingProxyType(in_groups), tuple(strangers))


def parse_keys_lenient(files: Mapping[str, bytes]) -> Keyring:
    """Return the keys that ``files``, by path, still name, whatever else is wrong there: who is not in it is out."""
    keys: dict[str, tuple[Key, ...]] = {}
    for path, text in files.items():
        for line in text.split(b"\n"):
            with suppress(JailsshError):
                name = name_of_file(path)
                keys[name] = (*keys.get(name, ()), *_parse(line, path, authorities=True))
    return Keyring(MappingProxyType(keys), MappingProxyType(dict.fromkeys(keys, ())))


def _twice(key: Key, path: str, seen: dict[tuple[str, str], str]) -> list[ConfigError]:
    """Return errors where what tells people apart stands in another file too; note it as seen in this one."""
    found = []
    for principal in key.principals or ("",):
        other = seen.setdefault((key.blob, principal), path)
        if other != path:
            what = f"principal {principal!r} of this authority is" if principal else "key is"
            found.append(
                ConfigError(
                    path, f"{what} also in {other}; a {'principal' if principal else 'key'} can have only one name"
                )
            )
    return found
