"""Who an account is: its name together with its uid.

A name that is used again is somebody else, and so is a uid.  Whatever is kept for an account is kept for both, and
:func:`is_same` is the one place that compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Identity:
    """The account that something is kept for."""

    name: str
    uid: int


class Named(Protocol):
    """An account as it is now."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def uid(self) -> int:
        """Its uid."""


def is_same(kept_for: Identity, now: Named | None) -> bool:
    """True if ``now``, the account that the name or the uid has now (None: nobody), is the one that was meant."""
    return now is not None and (kept_for.name, kept_for.uid) == (now.name, now.uid)
