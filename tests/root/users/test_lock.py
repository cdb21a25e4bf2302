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


def test_nothing_that_others_wrote_about_themselves_becomes_a_line(host: Host) -> None:
    # Who calls chfn(1) can have all that is not ASCII in the number of the room.
    host.sh("useradd -m mallory && useradd -m bob && echo mallory:secret | chpasswd")
    for end in ("\u2028", "\u2029", "\x85"):
        host.sh(f"echo secret | LC_ALL=C.UTF-8 runuser -u mallory -- chfn -r '1{end}bob'")
        jailed(host)
        before = host.state()["/etc/passwd"]
        assert f",1{end}bob," in before
        host.ok("lock", name="alice")
        assert host.state()["/etc/passwd"] == before
        host.ok("deluser", name="alice")
        host.sh("userdel -r alice")


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


# Who is root by now, and began as alice: by sudo(8), and by su(1) within a login.
SU = """
import os, pwd, subprocess, sys
os.setresuid(pwd.getpwnam(sys.argv[1]).pw_uid, 0, 0)
sys.exit(subprocess.run(sys.argv[2:], preexec_fn=lambda: os.setresuid(0, 0, 0)).returncode)
"""
BEGAN_AS_ALICE = {"sudo": "SUDO_UID=$(id -u alice) {command}", "su": "python3 /root/su.py alice {command}"}
COMMAND = "env PYTHONPATH=/usr/local/source python3 -B -m jailssh"


@pytest.mark.parametrize("how", BEGAN_AS_ALICE)
@pytest.mark.parametrize("verb", ["lock alice", "adduser alice --jail shell --yes"])
def test_nobody_locks_out_oneself(host: Host, how: str, verb: str) -> None:
    jailed(host)
    if verb.startswith("adduser"):
        host.ok("deluser", name="alice")
    before = host.state()
    host.scratch.write("/root/su.py", SU)
    command = BEGAN_AS_ALICE[how].format(command=f"{COMMAND} {verb}")
    done = host.scratch.run(["sh", "-c", command])
    assert "you are logged in with this account" in done.stderr, done
    assert done.code in (1, 3)  # several reasons, or this one
    assert host.state() == before
    # The same by somebody else is no question of who runs it.
    host.sh("useradd -m bob")
    by_bob = command.replace("id -u alice", "id -u bob").replace("su.py alice", "su.py bob")
    other = host.scratch.run(["sh", "-c", by_bob])
    assert "you are logged in" not in other.stderr, other


@pytest.mark.parametrize("group", ["sudo", "wheel", "admin"])
def test_the_last_administrator_is_not_locked_out(host: Host, group: str) -> None:
    host.sh(f"getent group {group} || groupadd {group}; useradd -m -s /bin/bash alice")
    host.ok("adduser", name="alice", jails=["scp"], key=KEY)
    host.sh(f"gpasswd -a alice {group}")
    assert f"is the last member of group '{group}'" in host.refused("lock", name="alice")
    host.sh(f"useradd -m bob && gpasswd -a bob {group}")
    assert "locked" in host.ok("lock", name="alice")


def test_an_etc_that_cannot_be_written(host: Host) -> None:
    jailed(host)
    before = host.state()
    host.sh("mkdir /root/e && cp -a /etc/. /root/e && mount --bind /root/e /etc && mount -o remount,bind,ro /etc")
    try:
        assert "error" in host.do("lock", name="alice")
    finally:
        host.sh("umount /etc && rm -r /root/e")
    assert host.state() == before
    host.ok("lock", name="alice")
    host.ok("unlock", name="alice")
    assert host.state() == before


def test_passwd_that_another_process_holds(host: Host) -> None:
    jailed(host)
    before = host.state()
    host.sh("sh -c 'echo $$ >/etc/shadow.lock'")
    host.ok("lock", name="alice")
    host.ok("unlock", name="alice")
    host.sh("sleep 60 </dev/null >/dev/null 2>&1 & echo $! >/etc/shadow.lock")
    assert "cannot lock /etc/shadow: held by process" in host.refused("lock", name="alice")
    host.sh("kill $(cat /etc/shadow.lock); rm /etc/shadow.lock")
    assert host.state() == before


def test_an_account_whose_files_cannot_be_removed_is_locked_by_deluser(host: Host) -> None:
    jailed(host, "")
    for what, spec in (("deluser", {"name": "alice"}), ("del many", {"names": ["alice"]})):
        host.sh("mount --bind /etc/jailssh /etc/jailssh && mount -o remount,bind,ro /etc/jailssh")
        try:
            said = host.do(what, **spec)
        finally:
            host.sh("umount /etc/jailssh")
        assert "/etc/jailssh/users/alice.conf" in str(said), said
        # What its plan is made from is still there, and will make it again.
        assert expiry(host) == "1"
        assert "already locked" in host.ok("lock", name="alice")
    assert "alice: access is not fully removed" in said["lines"]
    assert "alice: already locked, nothing changed" in said["lines"]
    host.ok("deluser", name="alice")
    assert expiry(host) == ""
    assert host.sh("getent passwd alice").strip().endswith(":/bin/bash")
