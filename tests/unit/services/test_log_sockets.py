"""What is said of a relay that does not run: the commands that start it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.services import log_sockets

START = "to start it: {}systemctl enable --now jailssh-relay.service"
WHO = log_sockets.Logging(1000, "alice", "logs", base=1, peak=1, interval=1)


@pytest.mark.parametrize("there", [True, False])
def test_its_account_is_made_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    # An installation without a package makes none, and systemd cannot start the unit without (217/USER).
    monkeypatch.setattr(accounts, "find", lambda name: SimpleNamespace(uid=999) if there else None)
    monkeypatch.setattr(log_sockets, "make_place", lambda layout, uid: None)
    made = "" if there else "systemd-sysusers /usr/local/share/jailssh/jailssh-relay.conf; "
    assert log_sockets.provide(Layout(root=str(tmp_path), prefix="/usr/local"), WHO, None).endswith(START.format(made))
