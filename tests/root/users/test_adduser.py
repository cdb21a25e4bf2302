"""adduser and deluser with real accounts on a scratch host: exact restore, kill at every point, accounts of others."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from typing import Any

import pytest

from tests.root.account_lab import KEY, LOGIN, Host, host

__all__ = ["host"]
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]


def make_alice(host: Host) -> None:
    host.sh("groupadd team && useradd -m -s /bin/bash -G team -c 'Alice A' alice && echo alice:secret | chpasswd")
    host.sh("install -d -o alice -g alice -m 700 /home/alice/.ssh")


def test_an_existing_account_is_taken_and_restored_exactly(host: Host) -> None:
    make_alice(host)
    before = host.state()
    said = host.ok("adduser", name="alice", jails=["sftp-only"], key=KEY)
    assert "put into jail sftp-only" in said
    assert "sftp" in said
    assert host.sh("getent passwd alice").split(":")[5:] == ["/home/alice", LOGIN + "\n"]
    assert "jailssh" in host.sh("id -Gn alice").split()
    assert "team" in host.sh("id -Gn alice").split()
    uid = host.sh("id -u alice").strip()
    assert host.sh("cat /etc/jailssh/users/alice.conf") == f"uid = {uid}\njail = sftp-only\n"
    assert host.sh("stat -c '%a %U' /etc/jailssh/keys/alice") == "644 root\n"
    assert host.sh("cat /etc/jailssh/keys/alice") == f'restrict,pty,command="{LOGIN}" {KEY}\n'
    assert "restored, with login shell" in host.ok("deluser", name="alice")
    assert host.state() == before


def test_a_home_of_traps_is_left_as_it_is(host: Host) -> None:
    """Nothing is moved or copied: no link is followed, and what is no file stays one."""
    make_alice(host)
    host.sh(
        "cd /home/alice; ln -s /etc/shadow s; ln -s /etc/ssl d; ln -s nowhere n; mkfifo p; mkdir deep; echo x >deep/f;"
        " ln deep/f hard; chmod 4711 hard; touch -d 2001-01-01 deep; setfattr -n user.a -v b hard;"
        " python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"k\")'; chown -h alice: s d n p k deep hard"
    )
    look = "cd /home/alice; find . -printf '%p %y %m %U %G %T@ %n %l %i\n' | sort; getfattr -d hard; cat /etc/shadow"
    before = host.sh(look)
    host.ok("adduser", name="alice", jails=["sftp-only"], key=KEY)
    inside = host.sh(look)
    host.ok("deluser", name="alice")
    assert before.split() == inside.split() == host.sh(look).split()


def test_again_changes_nothing_and_another_jail_moves(host: Host) -> None:
    make_alice(host)
    before = host.state()
    host.ok("adduser", name="alice", jails=["sftp-only"], key=KEY)
    first = host.state()
    assert "nothing changed" in host.ok("adduser", name="alice", jails=["sftp-only"], key=KEY)
    assert host.state() == first
    assert "moved to jail git+sftp" in host.ok("adduser", name="alice", jails=["sftp", "git"])
    assert "jail = git sftp" in host.sh("cat /etc/jailssh/users/alice.conf")
    assert KEY in host.sh("cat /etc/jailssh/keys/alice")
    host.sh("sed -i d /etc/jailssh/keys/alice")
    said = host.ok("adduser", name="alice", jails=["sftp", "git"], key=KEY)
    assert "keys updated, still in jail git+sftp" in said
    host.ok("deluser", name="alice")
    assert host.state() == before


def test_a_new_account_is_created_and_deleted(host: Host) -> None:
    before = host.state()
    said = host.ok("adduser", name="bob", jails=["scp"], key=KEY)
    assert "created" in said
    assert host.sh("stat -c '%a %U %G' /home/bob") == "700 bob bob\n"
    assert host.sh("getent shadow bob").split(":")[1] == "*"
    assert "deleted" in host.ok("deluser", name="bob", remove_home=True)
    assert host.state() == before


def test_the_home_of_a_deleted_account_stays_unless_asked(host: Host) -> None:
    host.ok("adduser", name="bob", jails=["scp"])
    host.sh("touch /home/bob/precious")
    assert "/home/bob kept" in host.ok("deluser", name="bob")
    assert host.sh("ls /home/bob") == "precious\n"
    said = host.refused("adduser", name="bob", jails=["scp"])
    assert "already exists" in said
    # The hint does what it says.
    (cure,) = re.findall(r"useradd .* /home/bob(?=, then jailssh adduser bob$)", said, re.MULTILINE)
    host.sh(cure)
    host.ok("adduser", name="bob", jails=["scp"])
    assert host.sh("stat -c %U /home/bob") == "bob\n"


def test_a_created_account_can_be_kept_and_then_lets_nobody_in(host: Host) -> None:
    host.ok("adduser", name="bob", jails=["scp"], key=KEY)
    host.ok("deluser", name="bob", keep=True)
    assert host.sh("getent passwd bob").strip().endswith(":/usr/sbin/nologin")
    assert "jailssh" not in host.sh("id -Gn bob")
    assert host.sh("find /etc/jailssh /var/lib/jailssh/plan.v1 -type f") == ""


def test_without_a_key_or_password_it_says_so(host: Host) -> None:
    said = host.ok("adduser", name="bob", jails=["scp"])
    assert "cannot log in yet (no key, no password); add one: --key FILE or: passwd bob" in said
    said = host.ok("adduser", name="forge", jails=["git"])
    assert "cannot log in yet (no key, no password); add one: jailssh keys add forge NAME FILE" in said


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("AllowUsers root", "AllowUsers of sshd does not name it"),
        ("AllowGroups root", "AllowGroups of sshd does not name a group of it"),
        ("DenyGroups jailssh", "DenyGroups of sshd names a group of it"),
        ("AllowGroups jailssh", ""),
    ],
)
def test_whom_sshd_keeps_out_is_told(host: Host, line: str, why: str) -> None:
    host.sh(f"echo '{line}' >/etc/ssh/sshd_config.d/05-own.conf")
    said = host.ok("adduser", name="bob", jails=["scp"], key=KEY)
    many = host.ok("many", wishes=[("ann", ["scp"], {"keys": [KEY]}), ("eve", ["scp"], {"keys": [KEY]})])
    for name, text in (("bob", said), ("ann", many), ("eve", many)):
        note = f"note: {name} cannot log in: {why}; see: jailssh doctor {name}"
        assert (note in text) if why else ("cannot log in" not in text), text


def test_an_account_that_has_expired_is_told(host: Host) -> None:
    host.sh("sed -i 's/^.*EXPIRE=.*$//' /etc/default/useradd && echo EXPIRE=2001-01-01 >>/etc/default/useradd")
    assert "note: newbie has expired" in host.ok("adduser", name="newbie", jails=["sftp-only"], key=KEY)
    host.sh("useradd -m -e '' old")
    assert "expired" not in host.ok("adduser", name="old", jails=["sftp-only"], key=KEY)


def test_on_demand_leaves_no_plan_behind_not_even_an_old_one(host: Host) -> None:
    host.ok("adduser", name="bob", jails=["scp"])
    assert host.sh("ls /var/lib/jailssh/plan.v1") == host.sh("id -u bob")
    host.ok("adduser", name="bob", jails=["git"], on_demand=True)
    assert host.sh("ls /var/lib/jailssh/plan.v1") == ""


def points_of(host: Host, **spec: Any) -> list[str]:
    answer = host.do("adduser", **spec)
    assert "lines" in answer, answer
    points: list[str] = answer["points"]
    return points


def without_journals(state: dict[str, str]) -> dict[str, str]:
    lines = [line for line in state["content"].splitlines() if "/undo/" not in line]
    return {**state, "content": "\n".join(lines)}


def open_ways(host: Host, name: str) -> str:
    """Return what would let the account in: keys, a plan, and for one that is confined already another login shell."""
    return host.sh(f"cat /etc/jailssh/keys/{name} 2>/dev/null; ls /var/lib/jailssh/plan.v1 | grep -v lock; true")


@pytest.mark.parametrize("name", ["alice", "bob"])
def test_killed_at_any_point_what_confines_holds_and_what_lets_in_is_taken_back(host: Host, name: str) -> None:
    make_alice(host)
    before = host.state()
    wish = {"name": name, "jails": ["scp"], "key": KEY}
    points = points_of(host, **wish)
    whole = host.state()
    host.ok("deluser", name=name, remove_home=name == "bob")
    assert host.state() == before
    assert {"users file: noted", "plan: done", "keys: done", "commit: done"} <= set(points)
    assert ("account: done" if name == "bob" else "shell: done") in points
    for number, point in enumerate(points[:-1], 1):
        # The matrix has every pair of a point and an end.
        for end in ("again", "recover") if number % 3 == 0 else ("recover",):
            killed = host.raw(do="adduser", kill=number, **wish)
            assert killed.code not in (0, 1), point
            assert host.state() != before, point
            if end == "again":
                host.ok("adduser", **wish)
                assert without_journals(host.state()) == without_journals(whole), point
            else:
                assert host.ok("recover") == f"settled an interrupted change: account-{name}", point
                assert open_ways(host, name) == "", point
                groups = host.sh(f"id -Gn {name} 2>/dev/null || true").split()
                if name == "bob":
                    confined = bool(groups)
                else:
                    confined = point not in ("users file: noted", "users file: done", "member: noted")
                assert ("jailssh" in groups) is confined, point
                assert host.ok("recover") == ""
            if name == "alice" or host.sh("getent passwd bob || true"):
                host.ok("deluser", name=name, remove_home=name == "bob")
            assert host.state() == before, (point, end)
    host.raw(do="adduser", kill=len(points), **wish)
    assert host.ok("recover") == "", "killed after the commit there is nothing to settle"
    assert "nothing changed" in host.ok("adduser", **wish)


def test_an_interrupted_move_goes_back_to_the_old_jail(host: Host) -> None:
    make_alice(host)
    host.ok("adduser", name="alice", jails=["scp"])
    plan = f"/var/lib/jailssh/plan.v1/{host.sh('id -u alice').strip()}"
    before = host.state()
    for number in (1, 2, 3, 4):
        host.raw(do="adduser", name="alice", jails=["git"], kill=number)
        host.ok("recover")
        if number < 4:
            assert host.state() == before
    # The new plan may have been used: what is true now is published at the next login.
    assert host.sh(f"ls {plan} 2>/dev/null || true") == ""
    assert host.sh("cat /etc/jailssh/users/alice.conf").endswith("jail = scp\n")


def test_nobody_settles_what_belongs_to_another(host: Host) -> None:
    make_alice(host)
    host.raw(do="adduser", name="alice", jails=["scp"], kill=6)
    left = host.state()
    said = host.ok("adduser", name="bob", jails=["scp"])
    assert "note: adduser alice of " in said
    assert "was interrupted; to end it: jailssh recover account-alice" in said
    host.ok("deluser", name="bob", remove_home=True)
    assert host.state() == left


@pytest.mark.parametrize(
    "used", ["touch /home/bob/thesis", "echo bob:secret | chpasswd", "echo x >>/home/bob/.profile"]
)
def test_an_account_that_was_created_and_used_is_never_deleted(host: Host, used: str) -> None:
    point = points_of(host, name="bob", jails=["scp"]).index("plan: noted") + 1
    host.ok("deluser", name="bob", remove_home=True)
    # A failure after somebody has used it, though nobody could: it stays.
    said = host.do("adduser", name="bob", jails=["scp"], at=point, run=used, full=True)["error"]
    assert "was used since its creation, so it is kept" in said[0]
    assert "hint: jailssh recover account-bob" in said
    home = host.sh("find /home/bob -type f -exec sha256sum {} + | sort")
    uid = host.sh("id -u bob")
    assert host.ok("recover") == "settled an interrupted change: account-bob"
    host.ok("adduser", name="bob", jails=["scp"])
    assert (host.sh("id -u bob"), host.sh("find /home/bob -type f -exec sha256sum {} + | sort")) == (uid, home)


def test_an_account_made_by_hand_after_a_kill_is_not_ours(host: Host) -> None:
    host.raw(do="adduser", name="bob", jails=["scp"], kill=1)
    host.sh("useradd -m -s /bin/bash bob && echo mine >/home/bob/mine")
    by_hand = host.state()
    assert host.ok("recover") != ""
    host.ok("adduser", name="bob", jails=["scp"])
    host.ok("deluser", name="bob")
    assert {**host.state(), "listing": ""} == {**by_hand, "listing": "", "content": host.state()["content"]}
    assert host.sh("cat /home/bob/mine") == "mine\n"


def test_an_account_made_by_hand_meanwhile_stays_when_the_change_is_taken_back(host: Host) -> None:
    answer = host.do("adduser", name="bob", jails=["scp"], at=1, run="useradd -m -s /bin/bash bob")
    assert "error" in answer, answer
    assert host.sh("getent passwd bob && ls -d /home/bob").strip().endswith(":/bin/bash\n/home/bob")


def test_an_account_of_another_uid_keeps_its_shell_when_the_change_is_taken_back(host: Host) -> None:
    make_alice(host)
    points = host.do("adduser", name="alice", jails=["scp"], key=KEY)["points"]
    host.ok("deluser", name="alice")
    again = f"userdel alice; useradd -u 4243 -s {LOGIN} alice"
    at = {"at": points.index("shell: done") + 1, "run": again, "signal": int(signal.SIGTERM)}
    answer = host.do("adduser", name="alice", jails=["scp"], key=KEY, **at)
    assert "error" in answer, answer
    assert host.sh("getent passwd alice").strip().endswith(f":{LOGIN}")


@pytest.mark.parametrize(
    ("name", "number"), [("alice", signal.SIGHUP), ("bob", signal.SIGINT), ("bob", signal.SIGTERM)]
)
def test_a_signal_waits_for_the_end_of_a_step(host: Host, name: str, number: signal.Signals) -> None:
    make_alice(host)
    before = host.state()
    wish = {"name": name, "jails": ["scp"], "key": KEY}
    points = points_of(host, **wish)
    host.ok("deluser", name=name, remove_home=name == "bob")
    for at, point in list(enumerate(points, 1))[1::2]:
        done = host.raw(do="adduser", at=at, signal=int(number), **wish)
        if point in ("keys: noted", "keys: done", "commit: done"):
            assert json.loads(done.stdout)["lines"], point  # It was over; the work is done, and said.
            host.ok("deluser", name=name, remove_home=name == "bob")
        else:
            (said,) = json.loads(done.stdout)["error"]
            assert f"{number.name} received: changes rolled back" in said, point
        assert host.state() == before, point
    host.raw(do="adduser", at=2, signal=int(number), ignored=True, **wish)
    assert host.sh(f"cat /etc/jailssh/keys/{name}"), "one that the caller ignores stays ignored"


def test_a_failure_in_the_middle_is_taken_back(host: Host) -> None:
    make_alice(host)
    assert "No space left" in host.refused("adduser", name="alice", jails=["scp"], full=True)
    assert "No space left" in host.refused("adduser", name="bob", jails=["scp"], full=True)


@pytest.mark.parametrize(
    ("prepare", "spec", "why"),
    [
        ("true", {"name": "root"}, "root cannot"),
        ("useradd -o -u 0 -M -d /root toor", {"name": "toor", "force": True}, "root cannot"),
        ("useradd -r -m sys1", {"name": "sys1"}, "is a system uid (min_uid is 1000)"),
        ("useradd -m -G sudo adm1", {"name": "adm1"}, "group 'sudo'"),
        ("useradd -m -g disk adm2", {"name": "adm2"}, "group 'disk'"),
        ("useradd -m a1 && useradd -o -u $(id -u a1) -M -d /home/a1 a2", {"name": "a1"}, "is also the uid of a2,"),
        ("useradd -M -d /nonexistent n1", {"name": "n1"}, "does not exist"),
        ("useradd -M -d / n2", {"name": "n2"}, "not a home"),
        ("useradd -M -d /srv n3", {"name": "n3"}, "belongs to uid 0"),
        ("useradd -m n4 && chmod 777 /home/n4", {"name": "n4"}, "is writable by others"),
        ("useradd -m n5 && ln -s /etc /home/n5/.ssh", {"name": "n5"}, "symbolic link"),
        ("useradd -m n6 && touch /home/n6/.ssh", {"name": "n6"}, "not a directory"),
        ("useradd -m n7 && mv /home/n7 /srv/n7 && ln -s /srv/n7 /home/n7", {"name": "n7"}, "symbolic link"),
        ("useradd -m n8", {"name": "n8", "home": "/srv/n8"}, "exists with home '/home/n8'"),
        ("useradd -m n9", {"name": "n9", "answer": False}, "nothing changed"),
        ("true", {"name": "fresh", "jails": ["nosuch"]}, "no such jail"),
        ("true", {"name": "fresh", "home": "/srv/a/b"}, "/srv/a"),
        ("true", {"name": "fresh", "home": "relative"}, "not a plain absolute path"),
        ("groupadd fresh", {"name": "fresh"}, "a group with this name"),
        ("true", {"name": "-rf"}, "is not valid"),
        ("true", {"name": "../x"}, "is not valid"),
        ("rm /etc/ssh/sshd_config.d/20-jailssh.conf", {"name": "fresh"}, "not set up"),
        (f"chmod 755 {LOGIN}", {"name": "fresh"}, "login program"),
        ("printf 'Match User fresh\\nForceCommand internal-sftp\\n' >/etc/ssh/sshd_config.d/10-own.conf",
         {"name": "fresh"}, "forcecommand is 'internal-sftp'"),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing(host: Host, prepare: str, spec: dict[str, Any], why: str) -> None:
    host.sh(prepare)
    assert why in host.refused("adduser", **{"jails": ["scp"], **spec})


def test_a_logged_in_account_is_taken_with_now_only(host: Host) -> None:
    make_alice(host)
    with host.scratch.popen(["sleep", "1000"], user="alice", stdin=subprocess.DEVNULL) as child:
        alice = host.sh("id -u alice").strip()
        try:
            host.scratch.wait_until(lambda: bool(host.sh(f"pgrep -U {alice} || true")), "alice's process")
            assert "logged in (1 process outside" in host.refused("adduser", name="alice", jails=["scp"])
            said = host.ok("adduser", name="alice", jails=["scp"], now=True)
            assert "1 process started before stays outside" in said
            assert child.poll() is None
        finally:
            host.sh(f"pkill -U {alice}")


def test_a_process_that_has_ended_and_waits_for_its_parent_holds_nothing_up(host: Host) -> None:
    make_alice(host)
    script = "import os, time; os.fork() or (os.setuid(int(os.environ['UID'])), os._exit(0)); time.sleep(1000)"
    alice = host.sh("id -u alice").strip()
    parent = host.sh(f'UID={alice} python3 -c "{script}" >/dev/null 2>&1 & echo $!').strip()
    try:
        host.scratch.wait_until(lambda: host.sh(f"ps -o stat= -U {alice} || true").strip() == "Z", "the zombie")
        host.ok("adduser", name="alice", jails=["scp"])
        host.ok("rename", name="alice", new="alina")
        host.ok("rename", name="alina", new="alice")
        assert "ended 0 sessions and all processes" in host.ok("deluser", name="alice", now=True)
    finally:
        host.sh(f"kill {parent}")


def test_an_account_of_a_directory_keeps_its_shell_there(host: Host) -> None:
    # systemd-userdb's own records stand for LDAP: NSS knows the account, /etc/passwd does not.
    record = {"userName": "dave", "uid": 40001, "gid": 40001, "homeDirectory": "/home/dave", "shell": "/bin/bash",
              "disposition": "regular"}  # fmt: skip
    host.sh("mkdir -p /etc/userdb && install -d -o 40001 -g 40001 -m 700 /home/dave")
    host.scratch.write("/etc/userdb/dave.user", json.dumps(record))
    host.scratch.write("/etc/userdb/dave.group", json.dumps({"groupName": "dave", "gid": 40001}))
    host.sh("cd /etc/userdb && ln -s dave.user 40001.user && ln -s dave.group 40001.group")
    if host.scratch.run(["getent", "passwd", "dave"]).code != 0:
        pytest.skip("NSS of this host does not read systemd-userdb records")
    assert "login shell '/bin/bash'" in host.refused("adduser", name="dave", jails=["scp"])
    host.scratch.write("/etc/userdb/dave.user", json.dumps({**record, "shell": "/bin/dash"}))
    assert "override_shell" in host.refused("adduser", name="dave", jails=["scp"])
    before = host.state()
    assert "PAM refuses logins until it is" in host.ok("adduser", name="dave", jails=["scp"], force=True)
    host.ok("deluser", name="dave")
    host.scratch.write("/etc/userdb/dave.user", json.dumps({**record, "shell": LOGIN}))
    assert "directory" not in host.ok("adduser", name="dave", jails=["scp"])
    assert "jailssh" in host.sh("id -Gn dave").split()
    host.ok("deluser", name="dave")
    assert host.state() == before


def test_a_recreated_account_is_not_mistaken_for_the_jailed_one(host: Host) -> None:
    host.ok("adduser", name="bob", jails=["scp"])
    old = host.sh("id -u bob").strip()
    host.sh("userdel -r bob && useradd -m -u 4242 -s /bin/bash bob")
    assert "another uid" in host.ok("deluser", name="bob")
    assert host.sh("getent passwd bob").strip().endswith(":/bin/bash")
    assert host.sh(f"ls /etc/jailssh/users /var/lib/jailssh/plan.v1 | grep -c {old} || true") == "0\n"


def test_deluser_works_without_its_journal_and_fails_closed(host: Host) -> None:
    make_alice(host)
    host.ok("adduser", name="alice", jails=["scp"])
    host.sh("rm /var/lib/jailssh/undo/account-alice.json")
    host.ok("deluser", name="alice")
    assert host.sh("getent passwd alice").strip().endswith(":/usr/sbin/nologin")
    assert "jailssh" not in host.sh("id -Gn alice")


def test_a_shell_changed_since_is_left_alone(host: Host) -> None:
    make_alice(host)
    assert "no jail is assigned" in host.refused("deluser", name="alice")
    host.ok("adduser", name="alice", jails=["scp"])
    host.sh("usermod -s /bin/dash alice")
    host.ok("deluser", name="alice")
    assert host.sh("getent passwd alice").strip().endswith(":/bin/dash")
