"""Public keys that differ by a number; nobody has their private halves."""

from __future__ import annotations

import base64
import struct


def public_key(number: int, comment: str = "") -> str:
    """Return the line of a public key."""
    fields = (b"ssh-ed25519", number.to_bytes(32, "big"))
    blob = base64.b64encode(b"".join(struct.pack(">I", len(field)) + field for field in fields)).decode()
    return f"ssh-ed25519 {blob} {comment}".rstrip()
