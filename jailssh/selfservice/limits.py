"""How often an account may ask, and how often its password may be wrong.  Pure: the clock is an argument."""

from __future__ import annotations

from collections import deque

AT_ONCE = 32
"""Requests that are under way, of all accounts; each account has one."""
REQUESTS, WITHIN = 20, 60.0
"""An account may ask so often in so many seconds."""
WRONG, WRONG_WITHIN = 5, 900.0
"""After so many wrong passwords in so many seconds none is looked at until the first of them is so old."""


class Limits:
    """Counts by uid; times in seconds of one clock."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._asked: dict[int, deque[float]] = {}
        self._wrong: dict[int, deque[float]] = {}

    def begin(self, uid: int, now: float) -> str:
        """Count a request; return why it is not taken, "" where it is: :meth:`end` must follow then."""
        asked = _recent(self._asked, now, WITHIN).setdefault(uid, deque())
        if uid in self._running:
            return "another request of yours is under way; try again"
        if len(self._running) >= AT_ONCE:
            return "too many requests at the moment; try again"
        if len(asked) >= REQUESTS:
            return "too many requests; try again in a minute"
        asked.append(now)
        self._running.add(uid)
        return ""

    def end(self, uid: int) -> None:
        """Take note that the request is answered."""
        self._running.discard(uid)

    def count_wrong(self, uid: int, now: float) -> None:
        """Take note of a wrong password."""
        self._wrong.setdefault(uid, deque()).append(now)

    def has_guessed(self, uid: int, now: float) -> bool:
        """True if the account's passwords were wrong too often."""
        return len(_recent(self._wrong, now, WRONG_WITHIN).get(uid, ())) >= WRONG

    def is_idle(self, now: float) -> bool:
        """True if nothing is under way and nothing need be remembered."""
        return not (self._running or _recent(self._asked, now, WITHIN) or _recent(self._wrong, now, WRONG_WITHIN))


def _recent(times: dict[int, deque[float]], now: float, within: float) -> dict[int, deque[float]]:
    for uid, each in list(times.items()):
        while each and each[0] <= now - within:
            each.popleft()
        if not each:
            del times[uid]
    return times
