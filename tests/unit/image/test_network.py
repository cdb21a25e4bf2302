"""What an image with a network holds to find names."""

from __future__ import annotations

from pathlib import Path

import pytest

from jailssh.image import network

HOST = "# made\nsearch example.org\n\nnameserver 127.0.0.53\noptions edns0 trust-ad\nnameserver fe80::1%eth0\n"


def text(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, of_host: bool) -> str:
    path = tmp_path / "resolv.conf"
    path.write_text(HOST)
    monkeypatch.setattr(network, "_RESOLVER", str(path))
    ((_, needs),) = network.network_needs(of_host=of_host)
    return dict(needs.texts)[str(path)]


def test_the_resolver_of_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert text(monkeypatch, tmp_path, of_host=True) == HOST


def test_behind_a_way_out_others_are_asked_and_the_rest_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wanted = ["search example.org", "options edns0 trust-ad", "nameserver 192.0.0.1", "nameserver fd6a:6169:6c73::1"]
    assert text(monkeypatch, tmp_path, of_host=False).splitlines() == wanted
