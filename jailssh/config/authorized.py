"""The text of an account's keys file, which sshd reads (sshd(8), AUTHORIZED_KEYS FILE FORMAT).

A file is of one of two kinds: made from a key ring, then it begins with a line that says so and each key has its name
behind it; or with keys as ``jailssh adduser --key`` was given them, which have no names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import pairwise

from jailssh.config.keys import TYPES, Key, Keyring

_PRINCIPALS = re.compile(r'principals="([^"]*)"')
_MADE = "# Made by jailssh from "


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
    return [line for line in text.splitlines() if (blob := _blob_of(line)) and blob not in known]


def without(text: str, gone: Collection[tuple[str, str, str]]) -> str:
    """Return the text of a file that was made from a key ring, without these of its :func:`entries`."""
    lines = []
    for line in text.splitlines():
        left = [who for who in _principals(line) if (line.split()[-1], _blob_of(line), who) not in gone]
        found = _PRINCIPALS.search(line)
        if left or not _blob_of(line):
            lines.append(line.replace(found[0], f'principals="{",".join(left)}"') if found else line)
    return _joined(lines)


def entries(text: str) -> set[tuple[str, str, str]]:
    """Return whom a file that was made from a key ring lets in, as :meth:`Keyring.entries` does."""
    lines = [line for line in text.splitlines() if _blob_of(line)] if is_generated(text) else []
    return {(line.split()[-1], _blob_of(line), who) for line in lines for who in _principals(line)}


def merge(existing: str, new: Collection[Key], login_program: str) -> str:
    """Return the content of a keys file: the lines of ``existing`` and those ``new`` keys that it lacks."""
    lines = existing.splitlines()
    present = {_blob_of(line) for line in lines}
    lines += [key.authorized(login_program, key.comment, terminal=True) for key in new if key.blob not in present]
    return _joined(lines)


def _blob_of(line: str) -> str:
    """Return the base64 text of the key in an authorized_keys line, which may have options; "" where it has no key."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return ""
    return next((blob for kind, blob in pairwise(words) if kind in TYPES), "")


def _principals(line: str) -> list[str]:
    """Return whom a line lets in: principals if its key is an authority, "" for the holder of the key itself."""
    found = _PRINCIPALS.search(line)
    return found[1].split(",") if found else [""]


def _joined(lines: Sequence[str]) -> str:
    return "".join(line + "\n" for line in lines)
