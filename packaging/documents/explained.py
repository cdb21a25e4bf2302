"""What is said about the journal's events and reasons: packaging/journal/explained.ini beside the code's own words."""

from __future__ import annotations

import configparser
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jailssh.core.journal_fields import REASONS

FILE = Path(__file__).resolve().parent.parent / "journal" / "explained.ini"


@dataclass(frozen=True, kw_only=True)
class Event:
    """An event: the subject of its entry in the catalog, and its text in one line."""

    subject: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Explained:
    """The events by name, and by event what to do about each reason that comes with it."""

    events: dict[str, Event]
    cures: dict[str, dict[str, str]]

    def reasons(self, event: str) -> Iterator[tuple[str, list[str]]]:
        """Yield each reason that comes with ``event``, with its meaning and what to do about it."""
        anywhere = {code: cure for cures in self.cures.values() for code, cure in cures.items() if cure}
        for code, cure in self.cures.get(event, {}).items():
            yield code, [REASONS[code], cure or anywhere[code]]


@functools.cache
def read() -> Explained:
    """Return the whole file; raises KeyError or configparser.Error where it is not as it must be."""
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",))
    parser.read_string(FILE.read_text(encoding="utf-8"))
    events, cures = {}, {}
    for section in parser.sections():
        kind, name = section.split()
        row = parser[section]
        if kind == "event":
            events[name] = Event(subject=row["subject"], text=" ".join(row["text"].split()))
        elif kind == "reasons":
            cures[name] = dict(row)
        else:
            raise KeyError(section)
    return Explained(events=events, cures=cures)
