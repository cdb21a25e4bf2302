"""Ports of an account with ``forward = inside`` on a booted Debian, before and after it starts with an empty /run."""

from __future__ import annotations

import pytest

from tests.system.booted import BootedTree
from tests.system.people import OPEN, OTHER, PORTS, SSH

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

SERVER = "python3 -m http.server --bind 127.0.0.1 8000"


def said_at(tree: BootedTree, account: str, port: int) -> str:
    """Return what answers at a port of loopback, of whose it is by a login of the account."""
    ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 0.5"
    return tree.run(f"({ask}) | ssh {SSH} -W 127.0.0.1:{port} {account}@localhost").stdout


def try_both_networks(tree: BootedTree) -> None:
    assert "SSH-2.0" in said_at(tree, OPEN, 22)
    assert said_at(tree, PORTS, 22) == ""
    with tree.popen(f"exec ssh -n {SSH} {PORTS}@localhost {SERVER}") as server:
        try:
            tree.wait(lambda: "200 OK" in said_at(tree, PORTS, 8000), "the server in the jail", 20)
            assert said_at(tree, OPEN, 8000) == ""
        finally:
            server.terminate()
    tree.sh(f"jailssh kick {PORTS}")


def test_ports_of_the_jail_are_reached_and_none_of_the_host(tree: BootedTree) -> None:
    try_both_networks(tree)
    assert tree.run(f"jailssh doctor {PORTS}").stdout.startswith("nothing wrong")


def test_it_starts_again_with_an_empty_run(tree: BootedTree) -> None:
    units = "jailssh-gone.timer jailssh-gone.path jailsshd.socket"
    before = tree.run(f"systemctl is-enabled {units}").stdout
    tree.reboot()
    tree.sh("systemctl start ssh cron atd")
    assert tree.run("find /run/jailssh -mindepth 2").stdout == ""
    try_both_networks(tree)
    assert tree.sh(f"ssh -n {SSH} runs@localhost id -un") == "runs\n"
    assert tree.run(f"ssh -n {SSH} shut@localhost id -un").returncode == 126
    assert tree.sh(f"cd /; runuser -u {OTHER} -- jailssh run -U shell id -u") == "0\n"
    assert tree.run(f"systemctl is-enabled {units}").stdout == before
    assert tree.sh("systemctl list-units --failed --plain --no-legend 'jailssh*'") == ""
