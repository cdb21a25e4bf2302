"""Until when the key of a selftest counts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.selftest.selftest import local_time


@pytest.fixture(params=["", "UTC+9", "Pacific/Auckland"])
def zone_of_the_caller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_it_is_in_the_time_of_the_host(zone_of_the_caller: None, tmp_path: Path) -> None:
    two_hours_east = b"TZif2" + bytes(15) + b"\0\0\0\0" * 4 + b"\0\0\0\1\0\0\0\4" + b"\0\0\x1c\x20\0\0" + b"EET\0"
    (tmp_path / "localtime").write_bytes(two_hours_east + two_hours_east + b"\nEET-2\n")
    assert local_time(1_800_000_000, str(tmp_path / "localtime")) == "20270115100000"
    assert local_time(1_800_000_000, str(tmp_path / "none")) == "20270115080000"
