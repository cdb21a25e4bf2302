"""``network = outbound`` on a booted Debian: its units, started, killed, and told of new addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from tests.harness.outside import CLOSED, DEVICE, SERVE, TOPOLOGY, TRY, WORKS, asked
from tests.system.booted import BootedTree
from tests.system.people import SSH

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

JAIL = "plugins = shell\nroot = live\nnetwork = outbound\n"
GUARD = "jailssh-outbound.service"


class Outside:
    """An account of such a jail in a tree that has an outside."""

    def __init__(self, tree: BootedTree) -> None:
        self.tree = tree
        tree.sh("cp -a /etc/resolv.conf /root/resolv; rm -f /etc/resolv.conf")
        tree.sh(TOPOLOGY)
        for name, text in {"root/serve.py": SERVE, "root/try.py": TRY, "etc/jailssh/jails/web.conf": JAIL}.items():
            tree.run(f"cat >/{name}", input=text, check=True)
        for where, name in (("--property=NetworkNamespacePath=/run/netns/outside", "outside"), ("", "host")):
            for port in (80, 53):
                tree.sh(f"systemd-run -q --unit=serve-{name}-{port} {where} python3 -u /root/serve.py {name} {port}")
                tree.wait(lambda: "listening" in self.said(f"serve-{name}-{port}"), f"{name} at {port}")  # noqa: B023
        tree.sh("useradd -m outs; install -o outs /root/try.py /home/outs/try.py")
        tree.sh("jailssh adduser outs --jail web --key /root/key.pub --yes")
        self.uid = tree.sh("id -u outs").strip()
        self.unit = f"jailssh-outbound@{self.uid}.service"

    def said(self, unit: str) -> str:
        return self.tree.run(f"journalctl -o cat -u {unit}").stdout

    def reached(self, places: Mapping[str, tuple[str | int, ...]] | None = None, device: str = "") -> dict[str, str]:
        """Return who answers a login at each place."""
        self.tree.run("cat >/home/outs/places.json", input=asked(places, device), check=True)
        found: dict[str, str] = json.loads(self.tree.sh(f"ssh -n {SSH} outs@localhost python3 try.py"))
        return found

    def property(self, name: str, unit: str = "") -> str:
        return self.tree.sh(f"systemctl show -P {name} {unit or self.unit}").strip()

    def main_pid(self, unit: str = "") -> int:
        return int(self.property("MainPID", unit))

    def kill(self, unit: str = "") -> None:
        """Kill what a unit runs, and wait until it runs again."""
        before = self.main_pid(unit)
        self.tree.sh(f"systemctl kill -s KILL {unit or self.unit}")
        self.tree.wait(lambda: self.main_pid(unit) not in (0, before), f"the next process of {unit or self.unit}")

    def close(self) -> None:
        self.tree.run("jailssh deluser outs --keep-account --yes; rm /etc/jailssh/jails/web.conf; jailssh apply")
        for name in ("outside", "host"):
            self.tree.run(f"systemctl stop serve-{name}-80 serve-{name}-53")
        self.tree.run("ip route del default; ip link del near; ip link del br-x; ip route flush table 100")
        self.tree.run("umount /run/netns/outside; rm -f /run/netns/outside")
        self.tree.run("rm -f /etc/resolv.conf; mv /root/resolv /etc/resolv.conf")
        self.tree.userdel("outs")


@pytest.fixture(scope="module")
def outside(tree: BootedTree) -> Iterator[Outside]:
    made = Outside(tree)
    yield made
    made.close()


def test_adduser_starts_what_leads_out(outside: Outside) -> None:
    assert (outside.property("ActiveState"), outside.property("UnitFileState")) == ("active", "enabled")
    assert outside.property("ActiveState", GUARD) == "active"
    owner = outside.tree.sh(f"stat -c %u /proc/{outside.main_pid()}").strip()
    assert owner not in ("0", outside.uid)
    assert outside.reached() == WORKS
    assert outside.reached(device=DEVICE) == WORKS


def test_new_addresses_of_the_host_are_closed_at_once(outside: Outside) -> None:
    new: dict[str, tuple[str | int, ...]] = {"new": ("tcp", "10.9.0.77", 80), "out": ("tcp", "10.9.0.1", 80)}
    outside.tree.sh("ip address add 10.9.0.77/24 dev near; sleep 1")
    try:
        assert outside.reached(new) == {"new": "", "out": "outside"}
    finally:
        outside.tree.sh("ip address del 10.9.0.77/24 dev near")


def test_killed_it_comes_back_and_until_then_nothing_leads_out(outside: Outside) -> None:
    outside.kill()
    outside.tree.wait(lambda: outside.reached() == WORKS, "the way out")
    outside.tree.sh(f"systemctl stop {outside.unit}")
    assert outside.reached() == CLOSED
    assert f"{outside.unit} does not run" in outside.tree.run("jailssh check --json").stdout
    outside.tree.sh("jailssh apply")
    assert outside.reached() == WORKS


def test_without_the_guard_it_is_started_with_it(outside: Outside) -> None:
    outside.kill(GUARD)
    outside.tree.wait(lambda: outside.property("ActiveState", GUARD) == "active", "the next guard")
    outside.tree.wait(lambda: outside.property("ActiveState") == "active", "pasta with it")
    outside.tree.wait(lambda: outside.reached() == WORKS, "the way out")


def test_nothing_is_left_of_it(outside: Outside) -> None:
    outside.tree.sh("jailssh deluser outs --keep-account --yes")
    assert outside.tree.sh(f"ls /run/jailssh/net | grep '^{outside.uid}' || true") == ""
    assert outside.property("UnitFileState") != "enabled"
    assert outside.tree.sh("pgrep -x pasta || true") == ""
