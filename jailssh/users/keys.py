"""Public keys for an account, read strictly.

A key line is ``TYPE BASE64 [COMMENT]`` and nothing else (sshd(8), AUTHORIZED_KEYS FILE FORMAT, without options).
What is written in front of it is ours: ``restrict`` so that nothing is forwarded and no rc file runs, ``pty`` for
interactive jails, and ``command=`` so that the login program runs even where sshd's ``Match`` does not apply.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass
from itertools import pairwise

from jailssh.core.errors import UsageError
from jailssh.core.names import escape

TYPES = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)
MAX_LINE = 8192
"""sshd reads lines of an authorized_keys file up to this many bytes."""


@dataclass(frozen=True)
class Key:
    """One public key: its type, its base64 text, its comment (printable, may be empty)."""

    kind: str
    blob: str
    comment: str = ""

    def line(self, login_program: str) -> str:
        """Return the authorized_keys line for this key, without a newline."""
        head = f'restrict,pty,command="{login_program}" {self.kind} {self.blob}'
        return f"{head} {self.comment}" if self.comment else head


def parse_keys(text: bytes, source: str) -> list[Key]:
    """Return the keys in the public key file ``text``; ``source`` names it in errors (:class:`UsageError`)."""
    if b"PRIVATE KEY-----" in text:
        raise UsageError(source, "is a private key", hint="give the public half, the file ending in .pub")
    keys: list[Key] = []
    for number, raw in enumerate(text.split(b"\n"), 1):
        line = raw.strip(b" \t\r")
        if line and not line.startswith(b"#"):
            key = _parse_line(line, f"{source}:{number}")
            if key.blob not in {other.blob for other in keys}:
                keys.append(key)
    if not keys:
        raise UsageError(source, "holds no public key")
    return keys


def _parse_line(line: bytes, where: str) -> Key:
    if len(line) > MAX_LINE - 512:
        raise UsageError(where, "the line is too long for sshd")
    words = line.decode("utf-8", "surrogateescape").split(None, 2)
    if words[0] not in TYPES:
        if any(kind in words[1:] or f" {kind} " in f" {words[-1]} " for kind in TYPES):
            raise UsageError(where, "options in front of a key are not taken", hint="give the key alone")
        hint = "one of " + ", ".join(sorted(TYPES))
        raise UsageError(where, f"{escape(words[0], 60)!r} is not a key type", hint=hint)
    if len(words) < 2:
        raise UsageError(where, "the key itself is missing")
    if _blob_type(words[1]) != words[0]:
        raise UsageError(where, f"the key is damaged or not of type {words[0]}")
    return Key(words[0], words[1], escape(words[2], 200) if len(words) == 3 else "")


def _blob_type(text: str) -> str:
    """Return the type that the key blob names itself, "" where the text is no key blob (RFC 4253 section 6.6)."""
    try:
        blob = base64.b64decode(text.encode("ascii"), validate=True)
        (length,) = struct.unpack(">I", blob[:4])
        name = blob[4 : 4 + length].decode("ascii")
    except (binascii.Error, struct.error, UnicodeError):
        return ""
    # A key has at least one more field than its type.
    return name if len(blob) > 4 + length + 4 else ""


def _blob_of(line: str) -> str:
    """Return the base64 text of the key in an authorized_keys line, which may have options; "" where it has no key."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return ""
    return next((blob for kind, blob in pairwise(words) if kind in TYPES), "")


def merge(existing: str, new: list[Key], login_program: str) -> str:
    """Return the content of a keys file: the lines of ``existing`` and those ``new`` keys that it lacks."""
    lines = existing.splitlines()
    present = {_blob_of(line) for line in lines}
    lines += [key.line(login_program) for key in new if key.blob not in present]
    return "".join(line + "\n" for line in lines)
