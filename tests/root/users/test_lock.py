"""lock and unlock with real accounts on a scratch host: exact restore, killed at every point, what others did since."""

from __future__ import annotations

import pytest

from tests.root.account_lab import KEY, Host, host

__all__ = ["host"]
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]


def expiry(host: Host, name: str = "alice") -> str:
    return host.sh(f"getent shadow {name}").split(":")[7]


def jailed(host: Host, expires: str = "2030-01-02") -> None:
    host.sh(f"useradd -m -s /bin/bash -e '{expires}' alice && echo alice:secret | chpasswd")
    host.ok("adduser", name="alice", jails=["scp"], key=KEY)


@pytest.mark.parametrize(("expires", "day"), [("2030-01-02", "21916"), ("", "")])
def test_a_lock_is_taken_back_exactly(host: Host, expires: str, day: str) -> None:
    jailed(host, expires)
    before = host.state()
    assert "locked; new logins are refused" in host.ok("lock", name="alice")
    assert expiry(host) == "1"
    assert host.state()["/etc/passwd"] == before["/etc/passwd"]
    assert "already locked, nothing changed" in host.ok("lock", name="alice")
    assert host.ok("unlock", name="alice") == "alice: unlocked"
    assert expiry(host) == day
    assert host.state() == before
    assert "is not locked by jailssh" in host.refused("unlock", name="alice")


def test_killed_at_any_point_it_is_locked_or_not(host: Host) -> None:
    jailed(host)
    before = host.state()
    points = host.do("lock", name="alice")["points"]
    whole = host.state()
    host.ok("unlock", name="alice")
    assert {"expiry: noted", "_replace /etc/shadow: next", "expiry: done", "commit: done"} <= set(points)
    for number, point in enumerate(points, 1):
        host.raw(do="lock", name="alice", kill=number)
        if number % 2:
            host.ok("recover")
            assert expiry(host) in ("1", "21916"), point
        else:
            host.ok("lock", name="alice")
            assert host.state() == whole, point
        if expiry(host) == "1":
            host.ok("unlock", name="alice")
        assert host.state() == before, point
    number = 1
    while True:
        host.ok("lock", name="alice")
        done = host.raw(do="unlock", name="alice", kill=number)
        if done.code == 0:
            break
        host.ok("unlock", name="alice")
        assert host.state() == before, number
        number += 1
    assert number > 1


def test_deluser_takes_it_back_and_what_somebody_changed_since_stays(host: Host) -> None:
    host.sh("useradd -m -s /bin/bash -e 2030-01-02 alice && echo alice:secret | chpasswd")
    before = host.state()
    host.ok("adduser", name="alice", jails=["scp"], key=KEY)
    host.ok("lock", name="alice")
    host.ok("deluser", name="alice")
    assert host.state() == before
    host.ok("adduser", name="alice", jails=["scp"], key=KEY)
    host.ok("lock", name="alice")
    host.sh("chage -E 2031-01-01 alice")
    host.ok("unlock", name="alice")
    assert expiry(host) == "22280"
    host.ok("lock", name="alice")
    host.sh("userdel alice && useradd -m -u 4444 -s /bin/bash alice 2>/dev/null; usermod -e 1 alice")
    host.do("unlock", name="alice")
    assert expiry(host) == "1", "another account of that name keeps its own"


def test_what_cannot_be_locked(host: Host) -> None:
    host.sh("useradd -m -s /bin/bash bob")
    assert "no jail is assigned" in host.refused("lock", name="bob")
    assert "does not exist" in host.refused("lock", name="nobody-here")
    assert "no jail is assigned" in host.refused("lock", name="root")
    assert "is not valid" in host.refused("lock", name="-x")
