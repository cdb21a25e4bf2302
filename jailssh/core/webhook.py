"""How a jail names an address that it does not know: by a digest, in its plan and in what it logs."""

from __future__ import annotations

import hashlib
from typing import Final

PREFIX: Final = "webhook:"
"""What stands before the name in the place of a command, also in jailssh/refs/after.c."""
SCHEMES: Final = ("https://", "http://")


def what_follows(line: str) -> list[str]:
    """Return what a line of ``after_push`` has behind its two patterns: the words of a command, or an address alone."""
    return line.split()[2:]


def is_address(word: str) -> bool:
    """True for what is to be an address and no program."""
    return word.startswith(SCHEMES)


def name_of(address: str) -> str:
    """Return the name of an address."""
    return hashlib.sha256(address.encode()).hexdigest()[:32]
