"""Accounts from a list, and locked ones, under a running sshd: who logs in, who does not."""

from __future__ import annotations

import json

import pytest

from tests.sshd.people import lists_home
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "journald", "login-program")

HASH = "$6$saltsalt$" + "x" * 86


def test_accounts_of_a_list_log_in_and_go_again(world: World) -> None:
    key = world.client.public_key.strip()
    names = ["list.one", "List-two", "list_three"]
    rows = f"\ufeffname;jail;key;gecos;password;expires\r\n{names[0]};sftp-only;{key};One;*;\r\n"
    rows += f"{names[1]};scp-sftp;{key};'Two';!;2099-12-31\r\n"
    rows += f"{names[2]};sftp-only;{world.client.public_key_file};;{HASH};\r\n"
    world.host.write("/root/list.csv", rows)
    done = world.jailssh("adduser", "--from", "/root/list.csv", "--json")
    assert [(row["name"], row["changed"]) for row in json.loads(done.stdout)] == [(name, True) for name in names]
    for name in names:
        home = lists_home(world, name)
        assert home.stdout.split()[-1] == f"/home/{name}", home
        assert world.client.ssh(name, "id").code == 126
        assert world.host.run(["find", f"/home/{name}", "!", "-user", name], check=True).stdout == ""
    assert "nothing changed" in world.jailssh("adduser", "--from", "/root/list.csv").stdout
    # Their keys for one more account, whatever the jail.
    world.jailssh("adduser", "copied", "--jail", "sftp-only", "--key-from", names[0])
    assert lists_home(world, "copied").code == 0
    deleted = json.loads(world.jailssh("deluser", *names, "copied", "--yes", "--remove-home", "--json").stdout)
    assert [row["done"] for row in deleted] == [True] * 4
    for name in names:
        assert world.host.run(["id", name]).code == 1
        assert not world.exists(f"/home/{name}")


def test_every_line_is_judged_before_the_first_change(world: World) -> None:
    rows = (
        "name,jail,uid,password\nlist4,sftp-only,,*\nroot,sftp-only,,\nlist5,nosuch,,\n-x,scp,,\nlist6,scp,1,secret\n"
    )
    world.host.write("/root/bad.csv", rows)
    done = world.jailssh("adduser", "--from", "/root/bad.csv", "--yes", check=False)
    assert done.code == 1
    assert "/root/bad.csv:5: account name '-x': is not valid" in done.stderr
    assert "/root/bad.csv:6: password: is not a password hash" in done.stderr
    world.host.write("/root/bad.csv", rows.replace("-x,scp,,\n", "").replace("1,secret", "1,*"))
    done = world.jailssh("adduser", "--from", "/root/bad.csv", "--yes", check=False)
    assert "/root/bad.csv:3: account root: root cannot be put into a jail" in done.stderr
    assert "/root/bad.csv:4: jail nosuch: does not exist" in done.stderr
    assert "/root/bad.csv:5: uid 1 of list6: is the uid of daemon" in done.stderr
    assert world.host.run(["getent", "passwd", "list4", "list5", "list6"]).stdout == ""


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--from", "/root/list.csv", "x"], "needs either NAME or --from FILE"),
        ([], "needs either NAME or --from FILE"),
        (["x", "y", "--jail", "scp", "--home", "/srv/x"], "--home: is for one NAME alone"),
        (["x", "--jail", "scp", "--key", "-", "--password", "-"], "only one option can read standard input"),
        (["x", "--jail", "scp", "--expires", "tomorrow"], "is not a date"),
        (["x", "--jail", "scp", "--password", "/etc/hostname"], "is not a password hash"),
        (["x", "--jail", "scp", "--key-from", "nobody-here"], "does not exist"),
        (["x", "--jail", "scp", "--key-from", "daemon"], "has no keys to copy"),
    ],
)
def test_what_cannot_be_asked_for(world: World, words: list[str], why: str) -> None:
    done = world.jailssh("adduser", *words, check=False)
    assert done.code == 2
    assert why in done.stderr
    assert world.host.run(["id", "x"]).code == 1


def test_keys_with_a_limit_are_not_copied(world: World) -> None:
    world.host.run(["useradd", "--create-home", "from-there"], check=True)
    world.own_keys("from-there", b'from="192.0.2.1" ' + world.client.public_key.encode())
    done = world.jailssh("adduser", "x", "--jail", "scp", "--key-from", "from-there", check=False)
    assert (done.code, "the copy loses the limit" in done.stderr) == (2, True)


def test_one_account_with_all_options(world: World) -> None:
    world.host.write("/root/hash", f"{HASH}\n")
    options = ("--uid", "5151", "--gecos", "All A", "--expires", "2099-12-31", "--password", "/root/hash")
    world.adduser("all-options", "sftp-only", *options)
    assert lists_home(world, "all-options").code == 0
    passwd = world.host.run(["getent", "passwd", "all-options"], check=True).stdout.split(":")
    assert passwd[2:6] == ["5151", "5151", "All A", "/home/all-options"]
    shadow = world.host.run(["getent", "shadow", "all-options"], check=True).stdout.split(":")
    assert (shadow[1], shadow[7]) == (HASH, "47481")
    done = world.jailssh("deluser", "all-options", "--yes", "--remove-home")
    assert done.stdout == "all-options: deleted; home /home/all-options removed\n"


def test_a_locked_account_does_not_log_in_until_it_is_unlocked(world: World) -> None:
    world.adduser("lockable", "shell")
    with world.running("lockable", "echo ready; sleep 600") as session:
        assert session.stdout
        assert session.stdout.readline() == b"ready\n"
        assert "new logins are refused, sessions go on" in world.jailssh("lock", "lockable").stdout
        assert world.client.ssh("lockable", "id").code == 255
        assert world.client.sftp("lockable", "ls\n").code != 0
        assert session.poll() is None
        assert "already locked" in world.jailssh("lock", "lockable").stdout
        assert "ended 1 session" in world.jailssh("lock", "lockable", "--kick").stdout
        assert session.wait(30) != 0
    assert world.jailssh("unlock", "lockable").stdout == "lockable: unlocked\n"
    assert world.client.ssh("lockable", "id -un").stdout == "lockable\n"
    assert world.jailssh("unlock", "lockable", check=False).code == 2


def test_a_canary_proves_the_jail_or_nothing_stays(world: World) -> None:
    world.host.write("/etc/jailssh/jails/faraway.conf", "extends = sftp-only\n[limits]\naddresses = 192.0.2.0/24\n")
    files = "cat /etc/passwd /etc/group /etc/gshadow; ls /etc/jailssh/users /etc/jailssh/keys /home"
    files += "; ls /var/lib/jailssh/undo /var/lib/jailssh/plan.v1"

    def state() -> str:
        return world.host.run(["sh", "-c", files], check=True).stdout

    try:
        world.host.run(["useradd", "--create-home", "canary-old"], check=True)
        before = state()
        for names in (["canary-new"], ["canary-old"], ["canary-old", "canary-new"]):
            words = (*names, "--jail", "faraway", "--key", world.client.public_key_file, "--canary", "--yes")
            done = world.jailssh("adduser", *words, check=False)
            assert done.code != 0, names
            assert state() == before, names
        # The first of each jail is tried; the second jail takes back what was proven in the first.
        world.host.write("/root/c.csv", "name,jail\ncanary-a,sftp-only\ncanary-b,sftp-only\ncanary-c,faraway\n")
        done = world.jailssh("adduser", "--from", "/root/c.csv", "--canary", check=False)
        assert done.code != 0
        assert state() == before
        world.host.write("/root/c.csv", "name,jail\ncanary-a,sftp-only\ncanary-b,sftp-only\ncanary-old,shell\n")
        key = ("--key", world.client.public_key_file)
        world.jailssh("adduser", "--from", "/root/c.csv", "--canary", "--yes", *key)
        assert "no unfinished change" in world.jailssh("recover").stdout
        for name in ("canary-a", "canary-b"):
            assert lists_home(world, name).code == 0
        assert world.client.ssh("canary-old", "id -un").stdout == "canary-old\n"
        # A move that cannot be proven goes back to the jail before.
        done = world.jailssh("adduser", "canary-a", "--jail", "faraway", "--canary", check=False)
        assert done.code != 0
        assert lists_home(world, "canary-a").code == 0
        world.jailssh("deluser", "canary-a", "canary-b", "--remove-home", "--yes")
        world.jailssh("deluser", "canary-old")
        assert state() == before
    finally:
        world.host.run(["rm", "-f", "/etc/jailssh/jails/faraway.conf"])


def test_a_proof_that_was_killed_is_told_and_forgotten_with_the_account(world: World) -> None:
    command = f"jailssh adduser killed-c --jail sftp-only --key {world.client.public_key_file} --canary --yes"
    wait = "while ! test -e /var/lib/jailssh/undo/selftest-killed-c.json; do sleep 0.02; done"
    world.host.run(["sh", "-c", f"{command} & pid=$!; {wait}; kill -9 $pid; wait $pid"])
    if world.exists("/etc/jailssh/keys/killed-c"):  # that of the selftest
        keys = world.host.read("/etc/jailssh/keys/killed-c").decode()
        assert world.client.public_key.split()[1] not in keys
    world.jailssh("recover", "--yes")
    assert "then, to complete it: jailssh deluser killed-c --remove-home" in world.jailssh("recover", "--yes").stderr
    world.jailssh("deluser", "killed-c", "--remove-home", "--yes")
    assert "no unfinished change" in world.jailssh("recover").stdout


def test_accounts_move_all_or_none_and_back(world: World) -> None:
    for name in ("mover-a", "mover-b"):
        world.adduser(name, "sftp-only")
    for words, why in (
        (["mover-a", "mover-b", "--jail", "nosuch"], "jail nosuch: does not exist"),
        (["mover-a", "daemon", "--jail", "shell"], "no jail is assigned to this account directly"),
        (["mover-a", "mover-a", "--jail", "shell"], "is named twice"),
    ):
        done = world.jailssh("move", *words, check=False)
        assert (done.code != 0, why in done.stderr) == (True, True), done.stderr
        assert world.client.ssh("mover-a", "id").code == 126
    said = world.jailssh("move", "mover-a", "mover-b", "--jail", "shell").stdout
    assert said.count("moved to jail shell") == 2
    assert "mover-a: to go back: jailssh move mover-a --jail sftp-only\n" in said
    for name in ("mover-a", "mover-b"):
        assert world.client.ssh(name, "id -un").stdout == f"{name}\n"
    assert said.count("nothing changed") == 0
    assert world.jailssh("move", "mover-a", "--jail", "shell").stdout.count("nothing changed") == 1
    world.jailssh("move", "mover-a", "mover-b", "--jail", "sftp-only")
    for name in ("mover-a", "mover-b"):
        assert world.client.ssh(name, "id").code == 126
        assert lists_home(world, name).code == 0
