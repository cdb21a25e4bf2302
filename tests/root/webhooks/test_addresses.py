"""Where a delivery goes: to an address that the administrator has written down for who pushed, now."""

from __future__ import annotations

import os

import pytest

from jailssh.core.webhook import name_of
from jailssh.host.paths import Layout
from jailssh.webhooks import server
from jailssh.webhooks.delivery import Delivery
from jailssh.webhooks.queue import Queue
from tests.harness.keys import public_key
from tests.root.publish_lab import ALICE, layout, put, user

__all__ = ["layout"]
pytestmark = pytest.mark.needs("root")

OF_ALL, OF_ANN, OF_NONE = (f"https://ci.example.org/{name}" for name in ("all", "ann", "none"))


@pytest.fixture
def sender(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> server.Sender:
    """What sends for a shared account in a jail with two keys, one of which has an address and a secret of its own."""
    monkeypatch.setattr(server, "read_secret", str.encode)
    put(f"{layout.jails}/forge.conf", "plugins = git\nlog = yes\n[git]\nroots = /srv/git\nwebhook_secret = /etc/all\n"
        f"rights = write ** @all\nafter_push = ** refs/** {OF_ALL}\n")  # fmt: skip
    user(layout, ALICE, "forge")
    with open(f"{layout.users}/alice.conf", "a") as file:
        file.write(f"[git key ann]\nafter_push = ** refs/** {OF_ANN}\nwebhook_secret = /etc/ann\n")
    os.makedirs(f"{layout.key_rings}/alice")
    for number, name in enumerate(("ann", "bob"), 1):
        put(f"{layout.key_rings}/alice/{name}.pub", f"{public_key(number, name)}\n")
    return server.Sender(layout, Queue(layout.webhooks))


def found(sender: server.Sender, address: str, account: str = "alice") -> tuple[str, bytes]:
    return sender._address(Delivery(id="1", hook=name_of(address), jail="forge", account=account, body="", begun=0.0))


def test_what_a_key_has_of_its_own_is_the_administrators_too(sender: server.Sender) -> None:
    assert found(sender, OF_ALL) == (OF_ALL, b"/etc/all")
    assert found(sender, OF_ANN) == (OF_ANN, b"/etc/ann")
    # Nobody else's pushes go there, and none to an address that no file has.
    assert found(sender, OF_ANN, "bob") == found(sender, OF_NONE) == ("", b"")
