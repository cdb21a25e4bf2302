"""Patterns of repositories and references, as tables of rights and settings of plugins have them."""

from __future__ import annotations

import re
from typing import Final

HINT: Final = "* matches part of one component, ** at the end any components"
_PATTERN = re.compile(r"[^\x00-\x20\x7f?\[\]{}\\\"'~]+\Z")
_MOST = 1024


def why_not(text: str) -> str:
    """Return why ``text``, absolute or relative, is no pattern, "" for one; :data:`HINT` says what one is."""
    if not _PATTERN.match(text) or len(text) > _MOST or not text.isprintable():
        return "is not a pattern: it contains a character that is not allowed, or is too long"
    parts = text.removeprefix("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "is not a pattern: it has an empty component, '.' or '..'"
    if any("**" in part for part in parts[:-1]) or ("**" in parts[-1] and parts[-1] != "**"):
        return "is not a pattern: ** is allowed only as the last component"
    return ""
