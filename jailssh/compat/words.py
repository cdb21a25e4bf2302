"""What Jailkit's tools print, where panels read it.

One panel takes the path of a line that begins with none of these words, behind the sixth word, for something that
could not be removed, and removes it: so a line of ours that names the jail must not look like one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

KNOWN = ("skip ", "removing outdated ", "removing deprecated ", "Creating ", "Copying ")
_MOST_WORDS = 6


def of_change(row: Mapping[str, Any], jail: str) -> str:
    """Return Jailkit's line about one change of a tree, a row of ``jailssh build --json``."""
    place = f"{jail.rstrip('/')}{row['path']}"
    what = str(row["kind"])
    if what == "dir":
        return f"Creating directory {place}"
    if what == "link":
        return f"Creating symlink {place} to {row.get('target', '')}"
    if row.get("source"):
        return f"Copying {row['source']} to {place}"
    return f"Creating {what} {place}"


def harmless(line: str, jail: str) -> str:
    """Return a line of a verb's with the jail's path left away where a panel would act on it."""
    if line.startswith(KNOWN) or not jail:
        return line
    words = line.split(" ")
    late = " ".join(words[_MOST_WORDS:])
    if jail not in late:
        return line
    return " ".join([*words[:_MOST_WORDS], late.replace(jail, "JAIL")])


def tell(lines: Iterable[str], jail: str = "") -> None:
    """Print lines on standard error."""
    for line in lines:
        print(harmless(line, jail), file=sys.stderr)


def lines_of(text: str) -> Iterator[str]:
    """Yield the lines of what a verb has printed."""
    yield from (line for line in text.splitlines() if line)
