"""What the administrator has looked at and accepts: ``suppressions.conf``, each with a reason and an end.

A section names the id of a finding and where it holds; a place is an object, as findings have it, or a path, which
covers what is below it, by components::

    [JSH-503 account backup]
    reason = its crontab only reads
    until = 2027-01-31

    [JSH-105 /srv/jail/etc]
    reason = made by a script of ours
    until = 2027-06-30
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from jailssh.config.reader import Document, RawSetting, did_you_mean, read_document
from jailssh.core.errors import ConfigError, JailsshError, ManyErrors
from jailssh.core.names import escape, is_below
from jailssh.host.paths import Layout
from jailssh.integrity.finding import ID, Finding
from jailssh.jail.owners import read_optional

_LIMIT = 1 << 20
_KEYS = ("reason", "until")
LONGEST = 366 * 2
"""Days: what is accepted is looked at again."""


@dataclass(frozen=True)
class Suppression:
    """One section: the id, the object or path ("" for all), why, its last day, ``file`` with what it was read from."""

    id: str
    place: str
    reason: str
    until: datetime.date
    file: str

    def covers(self, finding: Finding) -> bool:
        """True if it is about this finding, whatever day it is."""
        if finding.kind.id != self.id:
            return False
        if not self.place or self.place == finding.object:
            return True
        return self.place.startswith("/") and is_below(finding.path, self.place)


@dataclass(frozen=True)
class Sorted:
    """Findings that stand, those that are suppressed with what does it, and suppressions that no finding needs."""

    findings: tuple[Finding, ...]
    suppressed: tuple[tuple[Finding, Suppression], ...]
    unused: tuple[Suppression, ...]
    past: tuple[Suppression, ...]


def path_of(layout: Layout) -> str:
    """Return where the file is."""
    return f"{layout.etc}/suppressions.conf"


def load(layout: Layout, errors: list[JailsshError]) -> list[Suppression]:
    """Return the suppressions of this host; what is wrong with the file is added to ``errors``, the rest holds."""
    path = path_of(layout)
    try:
        data = read_optional(layout, path, _LIMIT)
        return [] if data is None else read(data, path, errors)
    except ManyErrors as several:
        errors += several.errors
    except JailsshError as error:
        errors.append(error)
    return []


def read(data: bytes, file: str, errors: list[JailsshError]) -> list[Suppression]:
    """Return the suppressions of a file's text; one with a mistake is left out, so that it hides nothing."""
    document = read_document(data, file)
    errors += [ConfigError(each.origin, "stands outside of a section") for each in document.entries[""].values()]
    found = []
    for section, settings in document.entries.items():
        if not section:
            continue
        try:
            found.append(_one(document, section, settings))
        except ManyErrors as several:
            errors += several.errors
        except JailsshError as error:
            errors.append(error)
    return found


def _one(document: Document, section: str, settings: Mapping[str, RawSetting]) -> Suppression:
    origin = document.headers.get(section, document.file)
    name, _, place = section.strip().partition(" ")
    place = place.strip()
    if not ID.match(name):
        raise ConfigError(origin, f"{escape(name, 60)} is not the id of a finding", hint="jailssh check --list")
    if place.startswith("/") and ((place != "/" and place.endswith("/")) or ".." in place.split("/")):
        raise ConfigError(origin, f"{escape(place, 200)} is not a path without '..' and without '/' at its end")
    for key, entry in settings.items():
        if key not in _KEYS:
            raise ConfigError(entry.origin, f"unknown setting {escape(key, 60)!r}", hint=did_you_mean(key, _KEYS))
    words = {key: _text(settings[key]) if key in settings else "" for key in _KEYS}
    for key, text in words.items():
        if not text:
            raise ConfigError(origin, f"{key} is missing", hint=f"{key} = {_EXAMPLES[key]}")
    try:
        until = datetime.date.fromisoformat(words["until"])
    except ValueError:
        where = settings["until"].origin
        raise ConfigError(
            where, f"until: {escape(words['until'], 60)!r} is not a day", hint="until = 2027-01-31"
        ) from None
    return Suppression(name, place, words["reason"], until, origin)


_EXAMPLES = {"reason": "why this is accepted", "until": "2027-01-31"}


def _text(entry: RawSetting) -> str:
    return (entry.raw if isinstance(entry.raw, str) else ", ".join(entry.raw)).strip()


def apply(suppressions: Sequence[Suppression], findings: Iterable[Finding], today: datetime.date) -> Sorted:
    """Sort findings by whether something that has not ended, and ends in no more than two years, is about them."""
    holds = [each for each in suppressions if today <= each.until <= today + datetime.timedelta(days=LONGEST)]
    stand: list[Finding] = []
    hidden: list[tuple[Finding, Suppression]] = []
    used: set[int] = set()
    for finding in findings:
        by = next((each for each in holds if each.covers(finding)), None)
        if by is None:
            stand.append(finding)
        else:
            hidden.append((finding, by))
            used.add(id(by))
    unused = tuple(each for each in holds if id(each) not in used)
    past = tuple(each for each in suppressions if each not in holds)
    return Sorted(tuple(stand), tuple(hidden), unused, past)
