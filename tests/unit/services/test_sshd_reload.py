"""How a running sshd is made to read its configuration again: by its unit, which a socket may start."""

from __future__ import annotations

from typing import Any

import pytest

from jailssh.host.process import Completed
from jailssh.services import sshd


@pytest.mark.parametrize(
    ("shown", "listening", "verb"),
    [
        ("TriggeredBy=\nKillMode=process\n", (), "reload"),
        ("TriggeredBy=ssh.socket\nKillMode=process\n", ("ssh.socket",), "restart"),
        ("TriggeredBy=ssh.path ssh.socket\nKillMode=process\n", ("ssh.socket",), "restart"),
        # Installed, and not what listens.
        ("TriggeredBy=ssh.socket\nKillMode=process\n", (), "reload"),
        ("TriggeredBy=ssh.path\nKillMode=process\n", ("ssh.path",), "reload"),
        # A restart would end sessions.
        ("TriggeredBy=ssh.socket\nKillMode=control-group\n", ("ssh.socket",), "reload"),
        ("", ("ssh.socket",), "reload"),
    ],
)
def test_one_that_a_socket_starts_is_restarted(
    monkeypatch: pytest.MonkeyPatch, shown: str, listening: tuple[str, ...], verb: str
) -> None:
    seen: list[list[str]] = []

    def run(argv: list[str], **_how: Any) -> Completed:
        seen.append(argv)
        if "is-active" in argv:
            return Completed("", "", 0 if {"ssh.service", *listening} & set(argv) else 3)
        return Completed(shown if "show" in argv else "", "", 0)

    monkeypatch.setattr("jailssh.host.process.run", run)
    monkeypatch.setattr("os.path.isdir", lambda path: path == "/run/systemd/system")
    assert sshd.reload() == f"{verb}ed ssh.service"
    assert [argv[1:] for argv in seen if argv[1] in ("reload", "restart")] == [[verb, "ssh.service"]]
    assert seen[0] == ["sshd", "-t"]
