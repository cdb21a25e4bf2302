"""The user manager behind an account's last session is ended, and no other."""

from __future__ import annotations

from typing import Any

import pytest

from jailssh.host.process import Completed
from jailssh.services import units


@pytest.mark.parametrize(
    ("states", "stopped"),
    [
        (["active", "online", "closing"], True),
        (["closing"], True),
        (["lingering"], False),
        ([""], False),  # nobody known
        (["active"], False),  # somebody is logged in
    ],
)
def test_only_one_that_waits_is_ended(monkeypatch: pytest.MonkeyPatch, states: list[str], stopped: bool) -> None:
    seen: list[list[str]] = []
    answers = iter(states)
    last = ""

    def run(argv: list[str], **_how: Any) -> Completed:
        nonlocal last
        seen.append(argv)
        last = next(answers, last)
        return Completed(f"{last}\n", "", 0)

    monkeypatch.setattr("jailssh.host.process.run", run)
    monkeypatch.setattr("os.path.isdir", lambda path: path == "/run/systemd/system")
    monkeypatch.setattr(units, "_PATIENCE", 0.2)
    units.end_waiting_manager(1003)
    assert (["systemctl", "stop", "user@1003.service"] in seen) is stopped
    assert seen[0][-1] == "1003"


def test_nothing_is_asked_where_systemd_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.path.isdir", lambda _path: False)
    monkeypatch.setattr("jailssh.host.process.run", lambda *_a, **_k: pytest.fail("asked"))
    units.end_waiting_manager(1003)
