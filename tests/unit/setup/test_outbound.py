"""Units that lead out of accounts' networks: how they are started."""

from __future__ import annotations

import pytest

from jailssh.host import process
from jailssh.setup import outbound


def test_the_more_are_started_the_longer_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, float]] = []

    def run(argv: list[str], *, timeout: float, **_: object) -> None:
        asked.append((argv[2], len(argv[3:]), timeout))

    monkeypatch.setattr(process, "run", run)
    outbound._start([7001])
    outbound._start(range(7001, 8001))
    assert asked == [("enable", 1, 61), ("restart", 1, 61), ("enable", 1000, 1060), ("restart", 1000, 1060)]
