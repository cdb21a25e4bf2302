"""Public keys and OpenSSH certificates, right and wrong ones, as sshd writes them for ExposeAuthInfo.

Nothing here is signed: what reads these texts runs behind sshd, which has checked the signatures.  The layout is that
of PROTOCOL.certkeys in OpenSSH's sources.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from dataclasses import dataclass

ENDING = "-cert-v01@openssh.com"
# By type: what stands for the key in a certificate, with which many would be the wrong number of strings.
PARTS: dict[str, tuple[bytes, ...]] = {
    "ssh-ed25519": (b"k" * 32,),
    "ssh-rsa": (b"\1\0\1", b"\0" + b"n" * 256),
    "ecdsa-sha2-nistp256": (b"nistp256", b"\4" + b"q" * 64),
    "ecdsa-sha2-nistp384": (b"nistp384", b"\4" + b"q" * 96),
    "ecdsa-sha2-nistp521": (b"nistp521", b"\4" + b"q" * 132),
    "sk-ssh-ed25519": (b"k" * 32, b"ssh:"),
    "sk-ecdsa-sha2-nistp256": (b"nistp256", b"\4" + b"q" * 64, b"ssh:"),
}


def string(data: bytes) -> bytes:
    """Return an SSH string: four bytes of length, then the bytes."""
    return struct.pack(">I", len(data)) + data


def encoded(blob: bytes) -> str:
    """Return base64 as in a public key's file."""
    return base64.b64encode(blob).decode()


def key_blob(number: int) -> bytes:
    """Return the public part of the ``number``-th Ed25519 key."""
    return string(b"ssh-ed25519") + string(number.to_bytes(32, "big"))


def key_line(number: int) -> str:
    """Return what sshd writes of a login with this key."""
    return f"publickey ssh-ed25519 {encoded(key_blob(number))}\n"


@dataclass(frozen=True)
class Certificate:
    """A certificate's fields; ``principals_field`` and ``tail`` are for wrong ones."""

    principals: Sequence[bytes] = (b"alice",)
    authority: bytes = key_blob(1000)
    kind: str = "ssh-ed25519"
    role: int = 1
    parts: Sequence[bytes] | None = None
    principals_field: bytes | None = None
    tail: bytes = b""

    def blob(self) -> bytes:
        """Return the wire format."""
        names = b"".join(map(string, self.principals)) if self.principals_field is None else self.principals_field
        parts = PARTS[self.kind] if self.parts is None else self.parts
        return b"".join(
            [
                *map(string, [f"{self.kind}{ENDING}".encode(), b"nonce" * 6, *parts]),
                struct.pack(">QI", 7, self.role),
                string(b"key id"),
                string(names),
                struct.pack(">QQ", 0, 2**64 - 1),
                *map(string, [b"", string(b"permit-pty") + string(b""), b"", self.authority, b"signature" * 9]),
                self.tail,
            ]
        )

    def line(self, cut: int = 0) -> str:
        """Return what sshd writes of a login with it, without the last ``cut`` bytes of the certificate."""
        blob = self.blob()
        return f"publickey {self.kind}{ENDING} {encoded(blob[: len(blob) - cut])}\n"
