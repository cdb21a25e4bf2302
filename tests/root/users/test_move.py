"""``move``: accounts of a jail into another, killed at every step, and back exactly."""

from __future__ import annotations

import json

import pytest

from tests.root.account_lab import KEY, Host, host

__all__ = ["host"]
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

NAMES = ("alice", "bob", "new")


def jailed(host: Host) -> dict[str, str]:
    host.sh("useradd -m -s /bin/bash alice && useradd -m -s /bin/bash bob && echo alice:secret | chpasswd")
    host.ok("many", wishes=[(name, ["scp"], {"keys": [KEY]}) for name in NAMES])
    return host.state()


def wishes(jail: str) -> list[tuple[str, list[str], dict[str, str]]]:
    return [(name, [jail], {}) for name in NAMES]


def without_plans(state: dict[str, str]) -> dict[str, str]:
    """The stand-in's plans are none that a login takes, so none of the past is put back."""
    return {
        name: "\n".join(line for line in text.splitlines() if "/plan.v1/" not in line) for name, text in state.items()
    }


def jails(host: Host) -> list[str]:
    return host.sh(f"cd /etc/jailssh/users && grep -h ^jail {' '.join(f'{n}.conf' for n in NAMES)}").split("\n")[:-1]


def test_there_and_back_it_is_the_same(host: Host) -> None:
    before = jailed(host)
    assert host.ok("many", wishes=wishes("git")).count("moved to jail git") == 3
    assert jails(host) == ["jail = git"] * 3
    assert host.state()["/etc/passwd"] == before["/etc/passwd"]
    host.ok("many", wishes=wishes("scp"))
    assert host.state() == before


def test_killed_at_any_point_each_has_one_jail_and_the_same_again_completes(host: Host) -> None:
    before = jailed(host)
    points = host.do("many", wishes=wishes("git"))["points"]
    whole = host.state()
    host.ok("many", wishes=wishes("scp"))
    assert host.state() == before
    for number, point in enumerate(points, 1):
        assert host.raw(do="many", wishes=wishes("git"), kill=number).code not in (0, 1), point
        assert set(jails(host)) <= {"jail = scp", "jail = git"}, point
        plans = host.sh("cat /var/lib/jailssh/plan.v1/[0-9]* | grep -c '^jail'").strip()
        assert plans == "3", point
        if number % 2:
            host.ok("recover")
            assert host.ok("recover") == "", point
            # What is settled long after goes back: nobody has more than before.
            assert set(jails(host)) <= {"jail = scp"} or point == "commit: done", point
        host.ok("many", wishes=wishes("git"))
        assert host.state() == whole, point
        host.ok("many", wishes=wishes("scp"))
        assert host.state() == before, point


def test_a_failure_and_a_signal_take_all_back(host: Host) -> None:
    before = jailed(host)
    assert "No space left" in host.refused("many", wishes=wishes("git"), full=True)
    points = host.do("many", wishes=wishes("git"))["points"]
    host.ok("many", wishes=wishes("scp"))
    for at in range(1, points.index("commit: done"), 3):
        done = json.loads(host.raw(do="many", wishes=wishes("git"), at=at, signal=15).stdout)
        assert "changes rolled back" in " ".join(done.get("error", ())), (points[at - 1], done)
        assert without_plans(host.state()) == without_plans(before), points[at - 1]


def test_one_that_is_wrong_stops_all(host: Host) -> None:
    before = jailed(host)
    assert "no such jail" in host.refused("many", wishes=[*wishes("git")[:2], ("new", ["nosuch"], {})])
    assert host.state() == before
