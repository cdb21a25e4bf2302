"""The text of an account's keys file, which sshd reads (sshd(8), AUTHORIZED_KEYS FILE FORMAT).

A file is of one of two kinds: made from a key ring, then it begins with a line that says so and each key has its name
behind it; or with keys as ``jailssh adduser --key`` was given them, which have no names.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Collection, Sequence
from itertools import pairwise

from jailssh.config.home_keys import HomeKey
from jailssh.config.keys import CERTIFICATE, TYPES, Key, Keyring, lines_of, wire_fields, words_of

_PRINCIPALS = re.compile(r'principals="([^"]*)"')
_PASSED = re.compile(r"[\r\v\f]+")
_MADE = "# Made by jailssh from "
_ENDS = re.compile(r'expiry-time="([0-9]+Z?)"')
OWN = "self:"
"""With this begins the comment of a key that the account itself has added; its name follows."""


Entry = tuple[str, str, str]
"""Who is let in by what: name, key, and the principal where the key is an authority, else ""."""


def generate(ring: Keyring, folder: str, login_program: str, *, terminal: bool) -> str:
    """Return the content of a keys file with the keys of ``ring``, whose files are in ``folder``."""
    head = f"{_MADE}{folder}: change what is there, then run jailssh apply."
    return _joined([head, *ring.lines(login_program, terminal=terminal)])


def is_generated(text: str) -> bool:
    """True if the file was made from a key ring."""
    return text.startswith(_MADE)


def nameless(text: str, ring: Keyring) -> list[str]:
    """Return the lines with keys that ``ring`` does not have, of a file that was not made from a key ring."""
    if is_generated(text):
        return []
    known = {key.blob for keys in ring.keys.values() for key in keys}
    return [line for line in lines_of(text) if (blob := blob_of(line)) and blob not in known]


def without(line: str, gone: Collection[Entry]) -> str | None:
    """Return a line of a file that was made from a key ring without these entries, None where nobody is left in it.

    It is never longer than the line was.
    """
    if not (blob := blob_of(line)):
        return line
    left = [who for who in _principals(line) if (label_of(line), blob, who) not in gone]
    if not left:
        return None
    found = _PRINCIPALS.search(line)
    return line.replace(found[0], f'principals="{",".join(left)}"') if found else line


def entries(text: str) -> set[Entry]:
    """Return whom a file that was made from a key ring lets in, as :meth:`Keyring.entries` does."""
    lines = [line for line in lines_of(text) if blob_of(line)] if is_generated(text) else []
    return {(label_of(line), blob_of(line), who) for line in lines for who in _principals(line)}


def merge(existing: str, new: Collection[Key], login_program: str) -> str:
    """Return the content of a keys file: the lines of ``existing`` and those ``new`` keys that it lacks."""
    lines = lines_of(existing)
    present = {blob_of(line) for line in lines}
    lines += [key.authorized(login_program, key.comment, terminal=True) for key in new if key.blob not in present]
    return _joined(lines)


def own_line(key: Key, name: str, ends: str, login_program: str) -> str:
    """Return the line of a key that the account itself adds as ``name``.

    ``ends``: until when it authorizes logins, as sshd reads it, "" for ever.
    """
    options = (f'expiry-time="{ends}"',) if ends else ()
    own = Key(key.kind, key.blob, f"{OWN}{name}")
    return HomeKey("", own, options, terminal=True, commands=()).authorized(login_program)


def own_name(line: str) -> str:
    """Return under which name the account itself has added the key of a line, "" for one that is not its own."""
    comment = comment_of(line)
    return comment.removeprefix(OWN) if comment.startswith(OWN) else ""


def end_of(line: str) -> str:
    """Return until when the key of a line authorizes logins, as sshd reads it; "" where the line does not say."""
    found = _ENDS.search(line.partition(blob_of(line))[0])
    return found[1] if found else ""


def with_lines(lines: Sequence[str]) -> str:
    """Return the content of a keys file with these lines."""
    return _joined(lines)


def blob_of(line: str) -> str:
    """Return the base64 text of the key in an authorized_keys line, which may have options; "" where it has no key."""
    words = words_of(line)
    if not words or words[0].startswith("#"):
        return ""
    # sshd passes over these in base64.
    return next((_PASSED.sub("", blob) for kind, blob in pairwise(words) if kind in TYPES), "")


def label_of(line: str) -> str:
    """Return the last word of a line: the key's name where the file was made from a key ring."""
    return words_of(line)[-1]


def lets_in(text: str, told: str) -> bool:
    """True if the keys file ``text`` lets in a login of which sshd tells this (``ExposeAuthInfo`` in sshd_config(5)).

    A login by password needs no key.  Of a certificate, an authority in the file must have signed it and a principal of
    that line must stand in it: what else there is to it sshd has judged.
    """
    rows = [line for line in lines_of(text) if blob_of(line)]
    plain = {blob_of(line) for line in rows if not _PRINCIPALS.search(line)}
    signing = [(_wire(blob_of(line)), _principals(line)) for line in rows if _PRINCIPALS.search(line)]
    logins = [words for line in lines_of(told) if (words := words_of(line))]
    for method, *key in logins:
        if method != "publickey":
            continue
        if len(key) < 2:
            return False
        if not key[0].endswith(CERTIFICATE):
            if key[1] not in plain:
                return False
            continue
        authority, held = _certified(key[0], _wire(key[1]))
        if not any(ca == authority and held.intersection(map(_bytes, whom)) for ca, whom in signing):
            return False
    return bool(logins)


def _wire(blob: str) -> bytes:
    """Return a key as it stands in a certificate, without its length; what no key has for what is no base64."""
    try:
        return base64.b64decode(blob)
    except ValueError:
        return b"\0no key"


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


_SERIAL_AND_ROLE, _DATES = 12, 16


def _certified(kind: str, data: bytes) -> tuple[bytes, set[bytes]]:
    """Return who signed a certificate, and its principals (OpenSSH's PROTOCOL.certkeys); nobody where it is none.

    Field by field, since the key in it is its holder's: that can have the bytes of any other authority in it.
    """
    plain, at = kind.removesuffix(CERTIFICATE), 0
    parts = TYPES.get(plain) or TYPES.get(f"{plain}@openssh.com", 0)

    def string() -> bytes:
        nonlocal at
        (length,) = struct.unpack_from(">I", data, at)
        at += 4 + length
        return data[at - length : at]

    try:
        for _ in range(1 + parts):  # the type, a nonce, and the key without its type
            string()
        at += _SERIAL_AND_ROLE
        string()  # its id
        principals = wire_fields(string())
        at += _DATES
        for _ in range(3):  # critical options, extensions, reserved
            string()
        authority = string()
        string()  # the signature
    except struct.error:
        return b"", set()
    return (authority, set(principals)) if at == len(data) else (b"", set())


def comment_of(line: str) -> str:
    """Return what stands behind the key of a line."""
    words = words_of(line)
    at = next((at for at, kind in enumerate(words[:-1]) if kind in TYPES), len(words))
    return " ".join(words[at + 2 :])


def _principals(line: str) -> list[str]:
    """Return whom a line lets in: principals if its key is an authority, "" for the holder of the key itself."""
    found = _PRINCIPALS.search(line)
    return found[1].split(",") if found else [""]


def _joined(lines: Sequence[str]) -> str:
    return "".join(line + "\n" for line in lines)
