"""Moments as people write them: dates, times, and how long ago.  Pure; the present comes in."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_AGO = re.compile(r"([0-9]{1,6})(s|m|h|d|w)( ago)?\Z", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_EPOCH = re.compile(r"@([0-9]{1,10})\Z", re.ASCII)
_MONTH = re.compile(r"\d{4}-\d\d\Z", re.ASCII)
_WRITTEN = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d)?(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)?)?\Z", re.ASCII)
_TIME = re.compile(r"\d\d:\d\d(:\d\d)?\Z", re.ASCII)


def moment(text: str, now: float) -> float:
    """Return the seconds since 1970 of ``2026-11-01``, ``2026-11-01 18:30``, ``2026-11``, ``18:30``, ``2h``, ``today``.

    A date alone is its beginning, a duration that long ago, a time without zone local time.  :class:`ValueError` with
    a reason for what is none of them.
    """
    text = text.strip()
    today = datetime.fromtimestamp(now).replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        if text in ("now", "today", "yesterday"):
            return {"now": now, "today": today.timestamp(), "yesterday": (today - timedelta(1)).timestamp()}[text]
        if ago := _AGO.match(text):
            return now - int(ago[1]) * _SECONDS[ago[2]]
        if since := _EPOCH.match(text):
            return float(since[1])
        if _MONTH.match(text):
            return datetime.fromisoformat(f"{text}-01").timestamp()
        if _TIME.match(text):
            return datetime.fromisoformat(f"{today.date().isoformat()} {text}").timestamp()
        if _WRITTEN.match(text):
            return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(f"is not a time: {error}") from None
    raise ValueError("is not a time such as 2026-11-01, '2026-11-01 18:30', 18:30, 2h, 7d, today or yesterday")
