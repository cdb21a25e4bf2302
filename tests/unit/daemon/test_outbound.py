"""What keeps the filters of networks with a way out true: when it looks, and what becomes of one that it cannot set."""

from __future__ import annotations

import socket

import pytest

from jailssh.daemon import outbound
from jailssh.host import process
from jailssh.host.paths import Layout
from jailssh.publish import outbound as networks


def test_many_messages_are_one_reason_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "_SETTLES", 0.01)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.settimeout(600)
        for _ in range(50):
            theirs.send(b"an address")
        outbound._wait(ours)
        ours.settimeout(0.05)
        with pytest.raises(TimeoutError):
            ours.recv(1)


def test_a_unit_that_was_stopped_meanwhile_is_not_started_for_its_filter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []
    monkeypatch.setattr(networks, "renew", lambda _layout: {7001: "is gone"})
    monkeypatch.setattr(process, "has_systemd", lambda: True)
    monkeypatch.setattr(process, "run", lambda argv, **_: asked.append(argv))
    outbound._renew(Layout("/nowhere"))
    assert asked == [["systemctl", "--no-block", "try-restart", "jailssh-outbound@7001.service"]]
    assert capsys.readouterr().err == "jailsshd: network of uid 7001: is gone\n"
