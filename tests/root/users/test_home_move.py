"""``adduser --home-move`` and back: across file systems, killed at every step, disks that fill, homes full of traps."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.sampling import some
from tests.root.account_lab import KEY, Host, host

__all__ = ["host"]
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

# How many of the points at which it is killed are tried; make test-matrix tries all.
MOST = 8
NEAR, FAR = "/srv/near/alice", "/srv/far/alice"
WATCH = {
    "duplicate": ["_copy_entry", "_give"],
    "moving": ["_renamed", "_put_aside", "_put_back", "_copy", "_clear"],
    "shadow": ["_replace"],
}
# What the account may have put there, and what only root can: nothing of it is followed, everything arrives.
FILL = r"""
cd /home/alice
mkdir -p docs/deep/deeper empty .ssh
echo thesis >docs/thesis; ln docs/thesis docs/deep/same; ln docs/thesis top
ln -s /etc/shadow shadow; ln -s nowhere dangling; ln -s . loop; ln -s docs/thesis relative
mkfifo pipe; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("sock")'
truncate -s 40M sparse; printf x | dd of=sparse bs=1 seek=10000000 conv=notrunc 2>/dev/null
head -c 300000 /dev/urandom >data; : >none
printf s >'a b
c'; printf s >"$(printf 'not\377utf8')"; printf s >-rf; printf s >'*'
printf '#!/bin/sh\n' >tool; chmod 4755 tool; chmod 1777 empty; chmod 000 none
setfattr -n user.note -v kept data; setfattr -n trusted.note -v kept docs
chown -hR alice:alice .
setfacl -m u:daemon:rwx,d:u:daemon:rx docs; setfacl -m u:daemon:r data
chown root:root docs/deep; chown daemon:team data 2>/dev/null || chown daemon:daemon data
touch -h -d '2001-02-03 04:05:06.123456789' docs/thesis shadow docs/deep pipe; touch -d '1999-01-01' docs .
"""
SEEN = r"""
import hashlib, os, stat, sys
os.chdir(sys.argv[1])
names = {}
for folder, below, files in os.walk("."):
    links = [name for name in below if os.path.islink(f"{folder}/{name}")]
    for path in sorted(os.path.join(folder, name) for name in ["", *files, *links]):
        info = os.lstat(path)
        kind = stat.S_IFMT(info.st_mode)
        what = ""
        if stat.S_ISREG(info.st_mode):
            what = hashlib.sha256(open(path, "rb").read()).hexdigest()
        elif stat.S_ISLNK(info.st_mode):
            what = os.readlink(path)
        link = names.setdefault(info.st_ino, path) if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode) else ""
        marks = [(n, os.getxattr(path, n, follow_symlinks=False)) for n in os.listxattr(path, follow_symlinks=False)]
        row = (path, oct(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns, what, link, sorted(marks))
        print(ascii(row), info.st_blocks > 2000)
"""


@pytest.fixture
def alice(host: Host) -> Iterator[Host]:
    """An account with a home full of everything, and a second file system."""
    host.scratch.write("/root/seen.py", SEEN)
    host.sh("useradd -m -s /bin/bash alice && echo alice:secret | chpasswd")
    host.sh("mkdir -p /srv/near /srv/far && mount -t tmpfs -o mode=755,size=64M tmpfs /srv/far")
    host.sh(FILL)
    yield host
    host.sh("umount /srv/far")


def seen(host: Host, home: str) -> list[str]:
    return sorted(host.sh(f"python3 /root/seen.py {home}").splitlines())


def wish(home: str, **more: Any) -> dict[str, Any]:
    return {"name": "alice", "jails": ["scp"], "key": KEY, "home": home, "home_move": True, **more}


def home_of(host: Host) -> str:
    return host.sh("getent passwd alice").split(":")[5]


def assert_nothing_beside(host: Host) -> None:
    assert host.sh("ls -Ad /home/.jailssh* /srv/near/.jailssh* /srv/far/.jailssh* 2>/dev/null || true") == ""


@pytest.mark.parametrize("home", [NEAR, FAR])
def test_there_and_back_it_is_the_same(alice: Host, home: str) -> None:
    before, tree = alice.state(), seen(alice, "/home/alice")
    said = alice.ok("adduser", **wish(home))
    assert "put into jail scp" in said
    assert home_of(alice) == home
    assert seen(alice, home) == tree
    assert alice.sh("ls -d /home/alice 2>/dev/null || true") == ""
    assert_nothing_beside(alice)
    assert "nothing changed" in alice.ok("adduser", **wish(home))
    alice.ok("deluser", name="alice")
    assert seen(alice, "/home/alice") == tree
    assert alice.state() == before
    assert_nothing_beside(alice)


def test_it_moves_on_and_comes_back_from_there(alice: Host) -> None:
    before, tree = alice.state(), seen(alice, "/home/alice")
    for home in (FAR, NEAR, "/home/alice", FAR):
        alice.ok("adduser", **wish(home))
        assert seen(alice, home) == tree
    alice.ok("deluser", name="alice")
    assert seen(alice, "/home/alice") == tree
    assert alice.state() == before


def test_without_it_the_home_stays(alice: Host) -> None:
    assert "to move its home there: --home-move" in alice.refused("adduser", **wish(FAR, home_move=False))
    alice.ok("adduser", name="alice", jails=["scp"])
    assert home_of(alice) == "/home/alice"


@pytest.mark.parametrize("home", [NEAR, FAR])
def test_killed_at_any_point_it_is_whole_in_one_place(alice: Host, home: str) -> None:
    before, tree = alice.state(), seen(alice, "/home/alice")
    points = alice.do("adduser", watch=WATCH, **wish(home))["points"]
    assert {"home: noted", "home: done"} <= set(points)
    alice.ok("deluser", name="alice")
    assert alice.state() == before
    # Between two files of the copy all is alike.
    at = [n for n, point in enumerate(points, 1) if not point.startswith("_copy_entry") or n % 5 == 0]
    for number in some(at[:-1], MOST, home):
        point = points[number - 1]
        assert alice.raw(do="adduser", kill=number, watch=WATCH, **wish(home)).code not in (0, 1), point
        if number % 3 == 0:
            alice.ok("recover")
            assert seen(alice, home_of(alice)) == tree, point
            assert_nothing_beside(alice)
        elif number % 3 == 1:
            alice.ok("adduser", **wish(home))
            assert home_of(alice) == home, point
            assert seen(alice, home) == tree, point
        alice.do("deluser", name="alice")
        if home_of(alice) != "/home/alice":  # What was completed only now has been taken back by nobody yet.
            alice.ok("deluser", name="alice")
        assert seen(alice, "/home/alice") == tree, point
        assert alice.state() == before, point
        assert_nothing_beside(alice)


def test_killed_at_any_point_of_going_back_the_same_again_completes(alice: Host) -> None:
    before, tree = alice.state(), seen(alice, "/home/alice")
    alice.ok("adduser", **wish(FAR))
    points = alice.do("deluser", name="alice", watch=WATCH)["points"]
    assert alice.state() == before
    at = [n for n, point in enumerate(points, 1) if not point.startswith("_copy_entry") or n % 5 == 0]
    for number in some(at, MOST, "back"):
        point = points[number - 1]
        alice.ok("adduser", **wish(FAR))
        assert alice.raw(do="deluser", name="alice", kill=number, watch=WATCH).code not in (0, 1), point
        alice.ok("deluser", name="alice")
        assert seen(alice, "/home/alice") == tree, point
        assert alice.state() == before, point
        assert_nothing_beside(alice)


def test_a_disk_that_fills_takes_everything_back(alice: Host) -> None:
    alice.sh("mount -o remount,size=200k /srv/far")
    tree = seen(alice, "/home/alice")
    assert "no space left" in alice.refused("adduser", **wish(FAR)).lower()
    assert seen(alice, "/home/alice") == tree
    assert_nothing_beside(alice)
    alice.sh("mount -o remount,size=64M /srv/far")
    alice.ok("adduser", **wish(FAR))
    assert seen(alice, FAR) == tree


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_copy_and_takes_everything_back(alice: Host, number: signal.Signals) -> None:
    before, tree = alice.state(), seen(alice, "/home/alice")
    points = alice.do("adduser", watch=WATCH, **wish(FAR))["points"]
    alice.ok("deluser", name="alice")
    middle = [n for n, point in enumerate(points, 1) if point.startswith("_copy_entry")][3]
    answer = alice.raw(do="adduser", watch=WATCH, at=middle, signal=number, **wish(FAR))
    assert "changes rolled back" in answer.stdout, answer
    assert alice.state() == before
    assert seen(alice, "/home/alice") == tree
    assert_nothing_beside(alice)


def test_an_error_after_it_brings_it_back(alice: Host) -> None:
    before, tree = alice.state(), seen(alice, "/home/alice")
    assert "No space left" in alice.refused("adduser", **wish(FAR, full=True))
    assert alice.state() == before
    assert seen(alice, "/home/alice") == tree


@pytest.mark.parametrize(
    ("prepare", "home", "why"),
    [
        ("mkdir /srv/far/alice", FAR, "already exists"),
        ("ln -s /etc /srv/far/alice", FAR, "already exists"),
        ("true", "/home/alice/inside", "inside each other"),
        ("true", "/nosuch/alice", "must belong to root alone"),
        ("mkdir /srv/far/open && chmod 777 /srv/far/open", "/srv/far/open/alice", "writable by its group"),
        ("useradd -m bob", "/home/bob/alice", "owned by uid"),
        ("ln -s /srv/far /srv/link", "/srv/link/alice", "/srv/link"),
        ("true", "/srv/far/a:b", "contains a colon"),
        ("true", "srv/far/alice", "not a plain absolute path"),
        ("mkdir /home/alice/m && mount -t tmpfs tmpfs /home/alice/m", FAR, "contains mount points: /home/alice/m"),
        ("mkdir /home/alice/m && mount --bind /home/alice/docs /home/alice/m", FAR, "contains mount points"),
    ],
)
def test_what_is_refused_changes_nothing(alice: Host, prepare: str, home: str, why: str) -> None:
    alice.sh(prepare)
    assert why in alice.refused("adduser", **wish(home))
    alice.sh("umount /home/alice/m 2>/dev/null || true")
    assert_nothing_beside(alice)


@pytest.mark.parametrize("user", ["alice", "root"])
def test_somebody_who_works_in_it_stops_it(alice: Host, user: str) -> None:
    place = "/" if user == "alice" else "/home/alice/docs"
    command = ["sh", "-c", f"cd {place} && exec sleep 1000"]
    with alice.scratch.popen(command, user=user) as child:
        alice.scratch.wait_until(lambda: "sleep" in alice.sh("pgrep -a -x sleep || true"), "the process")
        try:
            assert "is in use by 1 process" in alice.refused("adduser", **wish(FAR, now=True))
        finally:
            alice.sh("pkill -x sleep")
            child.wait()


def test_somebody_who_is_logged_in_stops_the_way_back(alice: Host) -> None:
    tree = seen(alice, "/home/alice")
    before = alice.state()
    alice.ok("adduser", **wish(FAR))
    with alice.scratch.popen(["sleep", "1000"], user="alice") as child:
        alice.scratch.wait_until(lambda: "sleep" in alice.sh("pgrep -a -x sleep || true"), "the process")
        assert "is in use by 1 process" in "".join(alice.do("deluser", name="alice")["error"])
        assert seen(alice, FAR) == tree
        alice.sh("pkill -x sleep")
        child.wait()
    alice.ok("deluser", name="alice")
    assert seen(alice, "/home/alice") == tree
    assert alice.state() == before


@pytest.mark.parametrize("together", [False, True])
def test_one_that_adduser_created_goes_with_its_home_wherever_that_is(host: Host, together: bool) -> None:
    before = host.state()
    host.sh("mkdir -p /srv/near")
    host.ok("adduser", name="bob", jails=["scp"])
    host.ok("adduser", name="bob", jails=["scp"], home="/srv/near/bob", home_move=True)
    names = {"names": ["bob"]} if together else {"name": "bob"}
    said = host.ok("del many" if together else "deluser", remove_home=True, **names)
    assert said == "bob: deleted; home /srv/near/bob removed"
    assert host.sh("ls -d /home/bob /srv/near/* 2>/dev/null || true") == ""
    assert host.state() == before


def test_who_comes_in_at_the_last_moment_stops_it(alice: Host) -> None:
    before, tree = alice.state(), seen(alice, "/home/alice")
    points = alice.do("adduser", watch=WATCH, **wish(FAR))["points"]
    alice.ok("deluser", name="alice")
    at = next(number for number, point in enumerate(points, 1) if point.startswith("_put_aside"))
    command = "cd /home/alice/docs && { sleep 300 </dev/null >/dev/null 2>&1 & }"
    done = alice.raw(do="adduser", watch=WATCH, at=at, run=command, **wish(FAR))
    alice.sh("pkill -x sleep || true")
    assert "is in use by 1 process" in done.stdout, done
    assert alice.state() == before
    assert seen(alice, "/home/alice") == tree


def test_names_outside_are_told_and_their_file_stays(alice: Host) -> None:
    # As the account can do where fs.protected_hardlinks is off.
    alice.sh("cp -a /etc/shadow /home/.twin && ln /home/.twin /home/alice/hard")
    said = alice.ok("adduser", **wish(FAR))
    assert "note: 1 of the files had other names outside of /home/alice" in said
    assert alice.sh(f"stat -c '%U %G %a' {FAR}/hard") == alice.sh("stat -c '%U %G %a' /home/.twin")
    assert alice.sh(f"cmp /home/.twin {FAR}/hard && cmp /etc/shadow /home/.twin") == ""
    assert alice.sh("stat -c %h /home/.twin") == "1\n"


def test_many_at_once(alice: Host) -> None:
    alice.sh("useradd -m -s /bin/bash bob && echo b >/home/bob/b")
    before, tree = alice.state(), seen(alice, "/home/alice")
    extra = {"keys": [KEY], "home_move": True}
    wishes = [
        ("alice", ["scp"], {**extra, "home": FAR}),
        ("bob", ["scp"], {**extra, "home": "/srv/far/bob"}),
        ("new", ["scp"], {**extra, "home": "/srv/far/new"}),
    ]
    points = alice.do("many", wishes=wishes)["points"]
    assert seen(alice, FAR) == tree
    assert alice.sh("cat /srv/far/bob/b; getent passwd bob | cut -d: -f6") == "b\n/srv/far/bob\n"
    alice.ok("del many", names=["alice", "bob", "new"], remove_home=False)
    alice.sh("rm -r /srv/far/new")
    assert alice.state() == before
    # Between group(5) and gshadow(5) one of them alone has the members.
    groups = {n for n, point in enumerate(points, 1) if point.startswith("_replace /etc/g")}
    assert len(groups) == 2
    for number in sorted({*some(range(1, len(points)), MOST, "many"), *groups}):
        alice.raw(do="many", wishes=wishes, kill=number)
        alice.ok("recover")
        for name in ("alice", "bob", "new"):
            alice.do("deluser", name=name)
        alice.sh("rm -rf /srv/far/new")
        assert seen(alice, "/home/alice") == tree, points[number - 1]
        now = alice.state()
        assert {**now, "content": ""} == {**before, "content": ""}, points[number - 1]
    alice.sh("mount -o remount,size=200k /srv/far")
    assert "no space left" in "".join(alice.do("many", wishes=wishes)["error"]).lower()
    assert alice.state() == before


@pytest.mark.slow
def test_a_hundred_thousand_files(alice: Host) -> None:
    make = (
        "import os\nfor d in range(100):\n os.mkdir(f'd{d}')\n for n in range(1000): open(f'd{d}/{n}', 'w').write('x')"
    )
    alice.sh(f'cd /home/alice && python3 -c "{make}" && chown -R alice: .')
    alice.sh("mount -o remount,size=1G,nr_inodes=300000 /srv/far")
    alice.ok("adduser", **wish(FAR))
    assert alice.sh(f"find {FAR} -type f | wc -l") > "100000"
    assert alice.sh("ls -d /home/alice 2>/dev/null || true") == ""
    alice.ok("deluser", name="alice")
    assert alice.sh("find /home/alice -type f | wc -l") > "100000"
