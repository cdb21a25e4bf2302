"""Spans of time, hours of the week and dates, as they are written in a jail file.  Pure; local time comes in.

What cannot be read raises :class:`ValueError` with a reason that completes "key: …".
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from jailssh.core.names import DAYS, is_number

Offsets = Sequence[tuple[int, int]]
"""Local time: (seconds since 1970 from which it holds, seconds ahead of UTC), ascending, the first from 0 on."""

EVERY_DAY = 127
MIDNIGHT = 24 * 60
MAX_DURATION = 366 * 86400
LAST_YEAR = 2044
"""The last year that a date may be in; the offsets of local time are known until its end."""

_DURATION = re.compile(r"(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,7})m)?(?:(\d{1,8})s?)?\Z", re.ASCII)
_SPAN = re.compile(r"([0-2]\d):([0-5]\d)-([0-2]\d):([0-5]\d)\Z", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?\Z", re.ASCII)


def duration(text: str) -> int:
    """Return the seconds in ``90``, ``30m``, ``8h``, ``1h30m`` or ``2d``."""
    match = _DURATION.match(text)
    if not match or not text:
        raise ValueError(f"{text!r} is not a duration such as 90 (seconds), 30m, 8h, 1h30m or 2d")
    parts = zip(match.groups(), (86400, 3600, 60, 1), strict=True)
    seconds = sum(int(number) * unit for number, unit in parts if number)
    if not 0 < seconds <= MAX_DURATION:
        raise ValueError(f"{text!r} is not between one second and {MAX_DURATION // 86400} days; empty means no limit")
    return seconds


def hours(text: str) -> tuple[tuple[int, int, int], ...]:
    """Return the hours of the week as (days, from, to): a bit for each day, Monday the lowest; minutes; to <= 1440.

    Days (``mon``, ``mon-fri``, ``daily``) are followed by the hours of each (``08:00-18:00``); commas, semicolons and
    blanks separate.  Hours that go over midnight (``22:00-06:00``) end on the day after.  Overlaps are merged.
    """
    minutes: list[list[tuple[int, int]]] = [[] for _ in DAYS]
    days: set[int] = set()
    waiting = ""
    for word in re.split(r"[\s,;]+", text.lower().strip(" ,;\t")):
        if not is_number(word[:1]):
            days = {*_days(word), *(days if waiting else ())}
            waiting = word
            continue
        if not days:
            raise ValueError(f"{word!r} has no days before it, as in: mon-fri {word}")
        start, end = _span(word)
        for day in days:
            minutes[day].append((start, end if end > start else MIDNIGHT))
            if end <= start:
                minutes[(day + 1) % len(DAYS)].append((0, end))
        waiting = ""
    if waiting:
        raise ValueError(f"{waiting!r} has no hours after it, as in: {waiting} 08:00-18:00")
    return _by_days(minutes)


def _days(word: str) -> Iterable[int]:
    if word == "daily":
        return range(len(DAYS))
    first, _, last = word.partition("-")
    for day in (first, last) if "-" in word else (first,):
        if day not in DAYS:
            # "weekdays" and "weekend" are near to "wed" only in spelling.
            close = [] if day.startswith("week") else difflib.get_close_matches(day[:5], (*DAYS, "daily"), 1)
            guess = f"did you mean {close[0]!r}?" if close else f"use mon-fri, daily, or one of {', '.join(DAYS)}"
            raise ValueError(f"{day!r} is not a day: {guess}")
    if not last:
        return (DAYS.index(first),)
    start, end = DAYS.index(first), DAYS.index(last)
    return [day % len(DAYS) for day in range(start, end + 1 if end >= start else end + 1 + len(DAYS))]


def _span(word: str) -> tuple[int, int]:
    match = _SPAN.match(word)
    if not match:
        raise ValueError(f"{word!r} is not a time span such as 08:00-18:00")
    start, end = (int(match[group]) * 60 + int(match[group + 1]) for group in (1, 3))
    if start == end:
        raise ValueError(f"{word!r} is empty; 00:00-24:00 is the whole day")
    if start >= MIDNIGHT or end > MIDNIGHT:
        raise ValueError(f"{word!r} is not between 00:00 and 24:00")
    return start, end


def _by_days(minutes: Iterable[Iterable[tuple[int, int]]]) -> tuple[tuple[int, int, int], ...]:
    """Merge what overlaps or touches on each day, and put days with the same hours together."""
    found: dict[tuple[int, int], int] = {}
    for day, spans in enumerate(minutes):
        merged: list[tuple[int, int]] = []
        for start, end in sorted(spans):
            if merged and start <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            elif end > start:
                merged.append((start, end))
        for span in merged:
            found[span] = found.get(span, 0) | 1 << day
    return tuple((days, start, end) for (start, end), days in sorted(found.items()))


def moment(text: str) -> datetime:
    """Return the first moment after ``2027-01-31`` or ``2027-01-31 18:00``, in local time without a zone."""
    try:
        if not _DATE.match(text):
            raise ValueError
        day = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a date such as 2027-01-31, or 2027-01-31 18:00") from error
    if not 1970 < day.year <= LAST_YEAR:
        raise ValueError(f"{text!r} is after {LAST_YEAR} or before 1971; empty means no end")
    return day if ":" in text else day + timedelta(days=1)


def since_1970(local: datetime, offsets: Offsets) -> int:
    """Return when a clock that follows ``offsets`` first shows ``local`` or, where it leaves that out, a later time."""
    wall = int(local.replace(tzinfo=UTC).timestamp())
    ends = [since for since, _ in offsets[1:]]
    for (since, ahead), end in zip(offsets, [*ends, None], strict=True):
        if end is None or wall - ahead < end:
            return max(wall - ahead, since)
    raise AssertionError("the last offset has no end")
