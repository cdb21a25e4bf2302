"""``jailssh rename`` with real accounts: everything by name follows, killed at every step, and back exactly."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.harness.sampling import some
from tests.root.account_lab import KEY, LOGIN, Host, host

__all__ = ["host"]
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

# How many of the points at which it is killed are tried; make test-matrix tries all.
MOST = 6
SPOOLS = (
    "find /var/spool/cron /var/mail /var/lib/systemd/linger -mindepth 1 -printf '%p %m %u %g %s\\n' 2>/dev/null | sort"
)
WATCH = {"moving": ["rename_beside"]}


def prepare(host: Host) -> None:
    """An account with everything that has its name, in a jail and locked."""
    host.sh("groupadd team && useradd -m -s /bin/bash -G team -c 'Alice A' -e 2030-01-02 alice")
    host.sh("useradd -m -s /bin/bash -G team,alice bob && echo alice:secret | chpasswd")
    host.sh("gpasswd -A alice,bob team && usermod -v 900000-900100 -w 900000-900100 alice")
    host.sh("mkdir -p /var/spool/cron/crontabs /var/lib/systemd/linger /var/mail")
    host.sh("echo '0 0 * * * true' >/var/spool/cron/crontabs/alice && chown alice /var/spool/cron/crontabs/alice")
    host.sh("touch /var/lib/systemd/linger/alice && echo mail >/var/mail/alice && chown alice:mail /var/mail/alice")
    host.ok("adduser", name="alice", jails=["scp"], key=KEY)


def state(host: Host) -> dict[str, str]:
    return {**host.state(), "spools": host.sh(f"{SPOOLS}; true"), "id": host.sh("id alice 2>&1 || true")}


def test_everything_by_name_follows_and_comes_back(host: Host) -> None:
    prepare(host)
    host.ok("lock", name="alice")
    before = state(host)
    uid, line = host.sh("id -u alice").strip(), host.sh("getent passwd alice")
    said = host.ok("rename", name="alice", new="alina")
    assert f"alina (uid {uid}): was alice; home /home/alice stays; to go back: jailssh rename alina alice" in said
    assert "/var/spool/cron/crontabs/alina" in said
    assert "/var/mail/alina" in said
    after = state(host)
    for path in ("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"):
        expected = re.sub(r"(?<![/\w])alice(?!\w)", "alina", before[path])
        assert after[path] == expected, path
    assert host.sh("getent passwd alina") == line.replace("alice", "alina", 1)
    assert set(host.sh("id -Gn alina").split()) == {"alina", "team", "jailssh"}
    left = [line for key in ("listing", "spools") for line in after[key].splitlines() if "alice" in line.split()[0]]
    assert all(line.startswith("/home/alice") for line in left), left
    assert host.sh("cat /etc/jailssh/keys/alina") == f'restrict,pty,command="{LOGIN}" {KEY}\n'
    assert host.sh("pwck -r | grep alin || true; grpck -r") == ""
    assert host.sh("grep -l alice /var/lib/jailssh/undo/* || true") == ""
    host.ok("rename", name="alina", new="alice")
    assert state(host) == before


def test_what_was_done_to_the_old_name_is_taken_back_by_the_new_one(host: Host) -> None:
    host.sh("useradd -m -s /bin/bash -e 2030-01-02 alice && echo alice:secret | chpasswd")
    before = host.state()
    host.ok("adduser", name="alice", jails=["scp"], key=KEY)
    host.ok("lock", name="alice")
    host.ok("rename", name="alice", new="alina")
    assert "is not locked" not in host.ok("unlock", name="alina")
    assert host.sh("getent shadow alina").split(":")[7] == "21916"
    assert "restored, with login shell /bin/bash" in host.ok("deluser", name="alina")
    host.sh("usermod -l alice alina && groupmod -n alice alina && sed -i s/alina/alice/ /etc/subuid /etc/subgid")
    assert host.state() == before
    host.ok("adduser", name="new", jails=["scp"], key=KEY)
    host.ok("rename", name="new", new="newer")
    assert "newer: deleted; home /home/new removed" in host.ok("deluser", name="newer", remove_home=True)
    assert host.state() == before


def test_a_home_that_was_moved_goes_back_under_the_new_name(host: Host) -> None:
    host.sh("useradd -m -s /bin/bash alice && echo mine >/home/alice/mine && mkdir /srv/homes")
    host.ok("adduser", name="alice", jails=["scp"], home="/srv/homes/alice", home_move=True)
    host.ok("rename", name="alice", new="alina")
    host.ok("deluser", name="alina")
    assert host.sh("getent passwd alina | cut -d: -f6; cat /home/alice/mine; ls -A /srv/homes") == "/home/alice\nmine\n"


@pytest.mark.parametrize("end", ["recover", "again", "deluser old", "lock old", "many"])
def test_killed_at_any_point_it_is_the_old_one_or_the_new_one(host: Host, end: str) -> None:
    prepare(host)
    before = state(host)
    points = host.do("rename", name="alice", new="alina", watch=WATCH)["points"]
    whole = state(host)
    host.ok("rename", name="alina", new="alice")
    assert state(host) == before
    assert {"name: noted", "_replace /etc/passwd: next", "plan: done", "finish: done"} <= set(points)
    every = range(1 + (end == "again"), len(points), 2) if end in ("recover", "again") else range(2, len(points), 4)
    for number in some(every, MOST, end):
        point = points[number - 1]
        assert host.raw(do="rename", name="alice", new="alina", kill=number, watch=WATCH).code not in (0, 1), point
        # Whoever it is now, nobody is out of the group that sshd confines, and nobody else got in.
        for name in ("alice", "alina"):
            if host.sh(f"getent passwd {name} || true"):
                assert "jailssh" in host.sh(f"id -Gn {name}").split(), (point, name)
                assert LOGIN in host.sh(f"getent passwd {name}"), (point, name)
        if end == "again":
            host.ok("rename", name="alice", new="alina")
            assert state(host) == whole, point
            host.ok("rename", name="alina", new="alice")
        elif end == "recover":
            assert host.ok("recover"), point
            assert host.ok("recover") == "", point
            host.ok("adduser", name="alice", jails=["scp"], key=KEY)  # Where the plan had to go.
        elif end == "deluser old":
            host.ok("deluser", name="alice")
            host.ok("adduser", name="alice", jails=["scp"], key=KEY)
        elif end == "lock old":
            host.ok("lock", name="alice")
            host.ok("unlock", name="alice")
            host.ok("adduser", name="alice", jails=["scp"], key=KEY)
        else:
            host.ok("many", wishes=[("alice", ["scp"], {"keys": [KEY]}), ("other", ["scp"], {})])
            host.ok("deluser", name="other", remove_home=True)
        assert state(host) == before, point


def test_a_signal_takes_everything_back(host: Host) -> None:
    prepare(host)
    before = state(host)
    points = host.do("rename", name="alice", new="alina")["points"]
    host.ok("rename", name="alina", new="alice")
    for at in some(range(1, points.index("plan: done")), MOST, "signal"):
        done = json.loads(host.raw(do="rename", name="alice", new="alina", at=at, signal=15).stdout)
        assert "changes rolled back" in " ".join(done.get("error", ())), (points[at - 1], done)
        assert state(host) == before, points[at - 1]


def test_a_plan_that_cannot_be_published_takes_everything_back(host: Host) -> None:
    prepare(host)
    before = state(host)
    assert "No space left" in host.refused("rename", name="alice", new="alina", full=True)
    assert state(host) == before


def test_an_etc_that_cannot_be_written(host: Host) -> None:
    prepare(host)
    before = state(host)
    host.sh("mkdir /root/e && cp -a /etc/. /root/e && mount --bind /root/e /etc && mount -o remount,bind,ro /etc")
    try:
        for spec in (
            {"what": "rename", "name": "alice", "new": "alina"},
            {"what": "lock", "name": "alice"},
            {"what": "adduser", "name": "alice", "jails": ["git"]},
            {"what": "deluser", "name": "alice"},
        ):
            assert "error" in host.do(**spec), spec
    finally:
        host.sh("umount /etc && rm -r /root/e")
    # Who was to be taken out is out as far as that was possible; the same again, once it is, completes it.
    host.ok("adduser", name="alice", jails=["scp"], key=KEY)
    assert state(host) == before


REFUSED: list[tuple[str, str, str, str]] = [
    ("true", "alice", "alice", "exists already"), ("true", "alice", "bob", "exists already"),
    ("true", "alice", "team", "a group with this name"), ("true", "alice", "root", "exists already"),
    ("true", "alice", "-x", "is not valid"), ("true", "alice", "123", "is not valid"),
    ("true", "alice", "a b", "is not valid"), ("true", "alice", "a:b", "is not valid"),
    ("true", "alice", "../x", "is not valid"), ("true", "alice", "\u00fcn\u00ef", "is not valid"),
    ("true", "alice", "", "is not valid"), ("true", "alice", "a" * 33, "has 33 characters (limit 32)"),
    ("true", "bob", "bert", "no jail is assigned"), ("true", "root", "toor", "no jail is assigned"),
    ("true", "nosuch", "bert", "does not exist"),
    ("echo bert:1:2 >>/etc/subuid", "alice", "bert", "/etc/subuid has this name already"),
    ("echo bert:x:1:::::: >>/etc/shadow", "alice", "bert", "/etc/shadow has this name already"),
    ("sed -i 's/^team:.*/&,bert/' /etc/group", "alice", "bert", "/etc/group has this name already"),
    ("touch /var/mail/bert", "alice", "bert", "/var/mail/bert: exists already"),
    ("printf 'Match User bert\\nForceCommand internal-sftp\\n' >/etc/ssh/sshd_config.d/10-own.conf", "alice", "bert",
     "forcecommand is 'internal-sftp'"),
]  # fmt: skip


def test_what_is_refused_changes_nothing(host: Host) -> None:
    prepare(host)
    files = "passwd shadow group gshadow subuid subgid"
    for number, (command, old, new, why) in enumerate(REFUSED):
        host.sh(f"mkdir /root/{number} && cd /etc && cp -a {files} /root/{number}; {command}")
        assert why in host.refused("rename", name=old, new=new), (old, new)
        host.sh(f"cd /root/{number} && cp -a {files} /etc; rm -f /etc/ssh/sshd_config.d/10-own.conf /var/mail/bert")


@pytest.mark.parametrize("name", ["b.o-b", "B_1", "a" * 32, "x-", "0day", "e@realm"])
def test_names_that_are_fine(host: Host, name: str) -> None:
    prepare(host)
    before = state(host)
    host.ok("rename", name="alice", new=name)
    assert host.sh(f"id -un $(id -u '{name}')") == f"{name}\n"
    host.ok("rename", name=name, new="alice")
    assert state(host) == before


def test_one_who_is_logged_in_is_renamed_with_now_only(host: Host) -> None:
    prepare(host)
    with host.scratch.popen(["sleep", "1000"], user="alice") as child:
        host.scratch.wait_until(lambda: "sleep" in host.sh("pgrep -a -x sleep || true"), "the process")
        try:
            assert "logged in (1 process)" in host.refused("rename", name="alice", new="alina")
            host.ok("rename", name="alice", new="alina", now=True)
            assert child.poll() is None
        finally:
            host.sh("pkill -x sleep")
            child.wait()


def test_what_still_says_the_old_name_is_told(host: Host) -> None:
    prepare(host)
    host.sh("mkdir -p /etc/sudoers.d && echo 'alice ALL=(ALL) ALL' >/etc/sudoers.d/alice")
    host.sh("echo 'AllowUsers alice root' >/etc/ssh/sshd_config.d/05-own.conf")
    said = host.ok("rename", name="alice", new="alina")
    assert "sudo's files name alice, and not alina" in said
    assert "sshd refuses alina: AllowUsers" in said


def test_files_that_another_process_holds(host: Host) -> None:
    prepare(host)
    before: dict[str, Any] = state(host)
    host.sh("sh -c 'echo $$ >/etc/passwd.lock; echo $$ >/etc/group.lock'")
    host.ok("rename", name="alice", new="alina")
    host.ok("rename", name="alina", new="alice")
    assert state(host) == before
    host.sh("sleep 60 </dev/null >/dev/null 2>&1 & echo $! >/etc/passwd.lock")
    said = host.refused("rename", name="alice", new="alina")
    assert re.search(r"cannot lock /etc/passwd: held by process \d+; nothing changed", said)
    host.sh("kill $(cat /etc/passwd.lock); rm /etc/passwd.lock")
