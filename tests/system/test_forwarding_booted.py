"""Ports of an account with ``forward = inside`` on a booted Debian."""

from __future__ import annotations

import pytest

from tests.system.booted import BootedTree
from tests.system.logins import try_both_networks
from tests.system.people import PORTS

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")


def test_ports_of_the_jail_are_reached_and_none_of_the_host(tree: BootedTree) -> None:
    try_both_networks(tree)
    assert tree.run(f"jailssh doctor {PORTS}").stdout.startswith("nothing wrong")
