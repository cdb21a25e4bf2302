"""Many accounts in one change: all or none, exact restore, killed at every point, files that others hold."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.harness.sampling import some
from tests.root.account_lab import KEY, LOGIN, Host, host

__all__ = ["host"]
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

HASH = "$6$saltsalt$" + "x" * 86
DAY = 30_000
WISHES: list[tuple[str, list[str], dict[str, Any]]] = [
    ("ann", ["scp"], {"keys": [KEY], "gecos": "Ann A", "uid": 4321}),
    ("alice", ["sftp-only"], {"keys": [KEY]}),
    ("b.o-b", ["scp"], {"password": HASH, "expires": DAY}),
]
NEW = ("ann", "b.o-b")


def make_alice(host: Host) -> None:
    host.sh("groupadd team && useradd -m -s /bin/bash -G team -c 'Alice A' alice && echo alice:secret | chpasswd")


def days(text: str) -> str:
    """Return shadow's text without the day of the last change."""
    return re.sub(r"(?m)^([^:]*:[^:]*):\d+:", r"\1:DAY:", text)


def test_new_and_existing_accounts_go_in_and_out(host: Host) -> None:
    make_alice(host)
    before = host.state()
    said = host.ok("many", wishes=WISHES)
    for line in ("ann (uid 4321): created in jail scp", "put into jail sftp-only", "b.o-b (uid 4322): created"):
        assert line in said
    assert host.sh("getent passwd ann") == f"ann:x:4321:4321:Ann A:/home/ann:{LOGIN}\n"
    assert host.sh("getent passwd alice").endswith(f":/home/alice:{LOGIN}\n")
    assert host.sh("id -Gn ann b.o-b alice") == "ann jailssh\nb.o-b jailssh\nalice jailssh team\n"
    assert host.sh("stat -c '%a %U %G %n' /home/ann /home/b.o-b") == (
        "700 ann ann /home/ann\n700 b.o-b b.o-b /home/b.o-b\n"
    )
    assert host.sh("diff -r /etc/skel /home/ann && find /home/ann ! -user ann") == ""
    assert host.sh("getent shadow ann").split(":")[1] == "*"
    assert host.sh("getent shadow b.o-b").split(":")[1] == HASH
    assert host.sh("getent shadow b.o-b").split(":")[7] == str(DAY)
    assert host.sh("cat /etc/jailssh/keys/ann") == f'restrict,pty,command="{LOGIN}" {KEY}\n'
    assert host.sh("pwck -r | grep -e ann -e b.o-b || true; grpck -r") == ""
    assert "nothing changed" in host.ok("many", wishes=WISHES)
    # As one by one.
    whole = host.state()
    said = host.ok("del many", names=["ann", "b.o-b"], remove_home=True)
    assert said == "ann: deleted; home /home/ann removed\nb.o-b: deleted; home /home/b.o-b removed"
    assert "restored, with login shell /bin/bash" in host.ok("del many", names=["alice"])
    assert host.state() == before
    for name, jails, extra in WISHES:
        if name != "b.o-b":
            host.ok("adduser", name=name, jails=jails, key=extra["keys"][0])
    host.ok("del many", names=["ann", "alice"])
    assert host.sh("ls -d /home/ann") == "/home/ann\n"
    assert set(whole) == set(before)


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("-x", {}, "is not valid"), ("12345", {}, "is not valid"), ("a:b", {}, "is not valid"), ("a b", {}, "is not valid"),
    ("ünï", {}, "is not valid"), ("", {}, "is not valid"), ("a" * 33, {}, "has 33 characters (limit 32)"),
    ("../x", {}, "is not valid"), ("ann", {}, "is named twice"), ("root", {}, "root cannot be put into a jail"),
    ("daemon", {}, "is a system uid"), ("c1", {"uid": 4321}, "is also wanted for ann"),
    ("c2", {"uid": 0}, "is not between"), ("c3", {"uid": 2**31}, "is not between"), ("c4", {"uid": 1}, "is the uid of"),
    ("c5", {"home": "/home/ann"}, "is also wanted for ann"), ("c6", {"home": "/etc"}, "already exists"),
    ("c7", {"home": "/nosuch/x"}, "the parent directory must belong to root"),
    ("d2", {"home": "/srv/disk/d 2"}, "path contains a symbolic link hint: --home '/srv/real disk/d 2'"),
    ("c8", {"home": "/home/a:b"}, "contains a colon"), ("c9", {"gecos": "a:b"}, "contains a colon"),
    ("d1", {"gecos": "a\nx:y"}, "control character"), ("team", {}, "a group with this name already exists"),
    ("alice", {"uid": 7777}, "account exists with uid"), ("alice", {"home": "/srv/a"}, "which stays as it is"),
    ("alice", {"password": HASH}, "its password stays"), ("alice", {"expires": DAY}, "its expiry stays"),
    ("alice", {"gecos": "B"}, "exists with another"), ("last", {}, "is the last member of group 'sudo'"),
]  # fmt: skip


def test_one_that_is_wrong_stops_all(host: Host) -> None:
    make_alice(host)
    host.sh("useradd -m -G sudo last && mkdir '/srv/real disk' && ln -s 'real disk' /srv/disk")
    before = host.state()
    bad = [(name, ["scp"], extra) for name, extra, _ in BAD if name != "ann"]
    for wish, (_, _, why) in zip([(name, ["scp"], extra) for name, extra, _ in BAD], BAD, strict=True):
        answer = host.do("many", wishes=[WISHES[0], wish])
        assert why in " ".join(answer["error"]), answer
        assert answer["points"] == []
    said = " ".join(host.do("many", wishes=[WISHES[0], *bad, ("e1", ["nosuch"], {})])["error"])
    for *_, why in [row for row in BAD if row[0] not in ("ann", "alice")]:
        assert why in said or "is named twice" in said, why
    assert "aborted; nothing changed" in host.refused("many", wishes=WISHES[:2], answer=False)
    assert host.state() == before


def test_killed_at_any_point_nobody_gets_in_and_the_same_again_completes(host: Host) -> None:
    make_alice(host)
    before = host.state()
    answer = host.do("many", wishes=WISHES)
    points = answer["points"]
    whole = host.state()
    host.ok("del many", names=list(NEW), remove_home=True)
    host.ok("del many", names=["alice"])
    assert host.state() == before
    assert {"accounts: noted", "_replace /etc/passwd: next", "make /home/ann: next", "commit: done"} <= set(points)
    for number, point in some(enumerate(points, 1), 12, "many"):
        killed = host.raw(do="many", wishes=WISHES, kill=number)
        assert killed.code not in (0, 1), point
        if number % 2:
            host.ok("recover")
            assert host.ok("recover") == ""
            for name, *_ in WISHES:
                ended = f"{name}\\b" in point or point == "commit: done"
                keys = host.sh(f"ls /etc/jailssh/keys/{name} 2>/dev/null || true")
                assert not keys or ended, (point, keys)
            assert host.sh(f"grep -F '{HASH}' /etc/shadow || true") == "" or point == "commit: done", point
        again = host.do("many", wishes=WISHES)
        assert "lines" in again, (point, again)
        now = host.state()
        for path in ("/etc/passwd", "/etc/group", "/etc/gshadow"):
            assert sorted(re.split(r"[\n:,]", now[path])) == sorted(re.split(r"[\n:,]", whole[path])), (point, path)
        assert sorted(days(now["/etc/shadow"]).split()) == sorted(days(whole["/etc/shadow"]).split()), point
        assert now["listing"] == whole["listing"], point
        host.ok("del many", names=list(NEW), remove_home=True)
        host.ok("del many", names=["alice"])
        assert host.state() == before, point


def test_killed_at_any_point_of_taking_out_the_same_again_completes(host: Host) -> None:
    make_alice(host)
    before = host.state()
    names = [name for name, *_ in WISHES]
    number = 1
    while True:
        host.ok("many", wishes=WISHES)
        done = host.raw(do="del many", names=names, kill=number)
        if done.code == 0:
            break
        traces = host.sh("ls /etc/jailssh/users /var/lib/jailssh/undo; cut -d: -f1,7 /etc/passwd")
        left = [
            name for name in names if {f"{name}.conf", f"account-{name}.json", f"{name}:{LOGIN}"} & set(traces.split())
        ]
        if left:
            host.ok("del many", names=left)
        host.sh("rm -rf /home/ann /home/b.o-b")
        assert host.state() == before, number
        number += 1
    assert number > 5


def test_an_error_in_the_middle_takes_everything_back(host: Host) -> None:
    make_alice(host)
    before = host.state()
    answer = host.do("many", wishes=WISHES, full=True)
    assert "No space left" in " ".join(answer["error"]), answer
    assert host.state() == before
    points = host.do("many", wishes=WISHES)["points"]
    host.ok("del many", names=list(NEW), remove_home=True)
    host.ok("del many", names=["alice"])
    for at in range(1, len(points) + 1, 3):
        if points[at - 1] == "commit: done":
            break
        done = json.loads(host.raw(do="many", wishes=WISHES, at=at, signal=15).stdout)
        assert "changes rolled back" in " ".join(done.get("error", ())), (points[at - 1], done)
        assert host.state() == before, points[at - 1]
    # Somebody else takes the uid meanwhile.
    answer = host.do("many", wishes=WISHES, at=points.index("accounts: noted") + 1, run="useradd -u 4321 other")
    assert "given to another account" in " ".join(answer["error"])
    assert host.sh("getent passwd ann b.o-b || true") == ""


LOCKED = """
import os, subprocess, sys, time
sleeper = subprocess.Popen(["sleep", "60"])
with open("/etc/passwd.lock", "w") as stream:
    stream.write(str(sleeper.pid))
"""


def test_files_that_another_process_holds(host: Host) -> None:
    before = host.state()
    # Of a process that has ended.
    host.sh("sh -c 'echo $$ >/etc/passwd.lock; echo $$ >/etc/group.lock'")
    host.ok("many", wishes=[WISHES[0], WISHES[2]])
    host.ok("del many", names=list(NEW), remove_home=True)
    assert host.state() == before
    assert host.sh("ls /etc/*.lock /etc/passwd.[0-9]* 2>/dev/null || true") == ""
    # Of one that lives.
    host.scratch.write("/root/hold.py", LOCKED)
    host.sh("python3 /root/hold.py </dev/null >/dev/null 2>&1")
    said = " ".join(host.do("many", wishes=[WISHES[0], WISHES[2]])["error"])
    assert re.search(r"cannot lock /etc/passwd: held by process \d+; nothing changed", said)
    host.sh("kill $(cat /etc/passwd.lock); rm /etc/passwd.lock")
    assert host.state() == before


def test_an_etc_that_cannot_be_written(host: Host) -> None:
    before = host.state()
    files = "passwd shadow group gshadow"
    host.sh("mkdir /root/e && cp -a /etc/. /root/e && mount --bind /root/e /etc && mount -o remount,bind,ro /etc")
    try:
        assert "error" in host.do("many", wishes=[WISHES[0], WISHES[2]])
    finally:
        host.sh("umount /etc && rm -r /root/e")
    assert host.state() == before
    assert host.sh(f"cd /etc && ls {files}").split() == sorted(files.split())
