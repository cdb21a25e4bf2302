"""Moments as people write them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from jailssh.audit.moments import moment

NOW = 1_795_876_200.0  # 2026-11-28 14:30:00 UTC


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


READ = {
    "2026-11-01": "2026-11-01T00:00:00+01:00",
    "2026-10": "2026-10-01T00:00:00+02:00",
    "2026-11-01 18:30": "2026-11-01T18:30:00+01:00",
    "2026-11-01T18:30:05": "2026-11-01T18:30:05+01:00",
    "2026-11-01 18:30:05.5": "2026-11-01T18:30:05.500+01:00",
    "2026-11-01 18:30Z": "2026-11-01T18:30:00+00:00",
    "2026-11-01T18:30:00+05:30": "2026-11-01T18:30:00+05:30",
    "today": "2026-11-28T00:00:00+01:00",
    "yesterday": "2026-11-27T00:00:00+01:00",
    "now": "2026-11-28T15:30:00+01:00",
    "09:15": "2026-11-28T09:15:00+01:00",
    "2h": "2026-11-28T13:30:00+01:00",
    "30m ago": "2026-11-28T15:00:00+01:00",
    " 7d ": "2026-11-21T15:30:00+01:00",
    "1w": "2026-11-21T15:30:00+01:00",
    "@1795876200": "2026-11-28T15:30:00+01:00",
}


@pytest.mark.parametrize(("text", "expected"), READ.items(), ids=READ)
def test_read(text: str, expected: str) -> None:
    assert moment(text, NOW) == datetime.fromisoformat(expected).timestamp()


@pytest.mark.parametrize(
    "bad",
    ["", "2026", "2026-13", "2026-02-30", "25:00", "2026-11-01 25:00", "-2h", "2x", "tomorrow", "@", "@99999999999",
     "9999999d", "²h", "0000-01-01", "2026-11-01 1"],
)  # fmt: skip
def test_not_read(bad: str) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        moment(bad, NOW)
